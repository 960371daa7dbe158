"""Browse the users one by one, filter them and download them."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import streamlit as st

from dashboard.components import formatting, page
from dashboard.components.user_card import render_user_card
from dashboard.data import downloads
from dashboard.data.stores import ask_cassandra, read_cassandra
from insights.errors import UserError
from insights.model.age_bands import BAND_NAMES
from insights.queries import search
from insights.queries import users as user_queries
from insights.text import format_count

ROWS = 50
ROWS_WITHOUT_SCROLLING = 11
TABLE_HEIGHT = 430
FILTER_WIDTH = 150
"""Pixels: five side by side on a desktop, two on a phone."""
DOWNLOAD_SECONDS = 60
FORMATS = {
    "CSV": (downloads.write_csv, "csv", "text/csv"),
    "Parquet": (downloads.write_parquet, "parquet", "application/vnd.apache.parquet"),
}
COLUMNS = {
    "full_name": "Name",
    "gender": "Gender",
    "age": "Age",
    "country": "Country",
    "registered_at": page.make_instant_column("Registered (UTC)"),
    "email_domain": "E-mail domain",
}


class TablePage(NamedTuple):
    """A page of the table: the cursor at which it begins, and how many users precede it."""

    cursor: search.KeysetCursor | None
    users_before: int


page.begin_page("Explore")


@st.fragment(run_every=page.draw_live_switch())
def draw_users() -> None:
    months = ask_cassandra(user_queries.read_counts, "registered_month")
    if not months.value:
        if page.show_freshness("Cassandra", [months]):
            page.say_no_users()
        return
    user_filter = draw_filters(sorted(months.value, reverse=True))
    total = ask_cassandra(search.count_users, user_filter)
    if total.value == 0:
        page.show_freshness("Cassandra", [months, total])
        say_no_match(user_filter)
        return
    trail = get_trail(user_filter)
    answer = ask_cassandra(search.fetch_page, user_filter, trail[-1].cursor, ROWS)
    if total.as_of is None or answer.value is None:
        page.show_freshness("Cassandra", [months])
        st.info(
            "There is no cached answer for these filters: nobody chose them before Cassandra went down.",
            icon=":material/cloud_off:",
        )
        return
    page.show_freshness("Cassandra", [months, total, answer])
    if not answer.value.users and len(trail) == 1 and answer.value.next is None:
        say_no_match(user_filter)
        return
    draw_user_table(answer.value.users)
    draw_paging(trail, answer.value, total.value)
    draw_selected_user()
    draw_download(user_filter, total.value)


def draw_filters(months: Sequence[str]) -> search.UserFilter:
    """Draw the filters, whose values are also in the page's address; invalid values there are ignored."""
    names = page.COUNTRY_NAMES
    with st.container(horizontal=True):
        return search.UserFilter(
            draw_filter("Country", sorted(names, key=lambda code: names[code]), "country", names),
            draw_filter("Gender", ["female", "male"], "gender"),
            draw_filter("Age band", BAND_NAMES, "age"),
            draw_filter("Registered from", months, "from"),
            draw_filter("Registered until", months, "until"),
        )


def draw_filter(label: str, options: Sequence[str], key: str, names: Mapping[str, str] | None = None) -> str | None:
    choice: str | None = st.selectbox(
        label,
        options,
        index=None,
        key=key,
        placeholder="Any",
        bind="query-params",
        width=FILTER_WIDTH,
        format_func=lambda option: (names or {}).get(option, option),
    )
    return choice


def say_no_match(user_filter: search.UserFilter) -> None:
    if user_filter.since and user_filter.until and user_filter.since > user_filter.until:
        st.info(
            f"{user_filter.since} is after {user_filter.until}: swap the two months.",
            icon=":material/search_off:",
        )
    else:
        st.info("No user matches these filters.", icon=":material/search_off:")


def get_trail(user_filter: search.UserFilter) -> list[TablePage]:
    """Return the pages from the first to the current one; a change of filters returns to the first."""
    last_filter, trail = st.session_state.get("trail", (None, []))
    if last_filter != user_filter:
        trail = [TablePage(None, 0)]
        st.session_state["trail"] = (user_filter, trail)
        st.session_state.pop("user", None)
    return list(trail)


def draw_user_table(users: Sequence[search.UserSummary]) -> None:
    """Draw the users of this page. The table's key is a hash of their ids, so that a selection stays with its user."""
    ids = tuple(user.user_id for user in users)
    key = f"users {hash(ids)}"
    selected_rows = page.draw_table(
        [_make_row(user) for user in users],
        COLUMNS,
        f"Table of {format_count(len(users), 'user')}, most recently registered first. "
        "Select a row to see the user in full.",
        key=key,
        height=TABLE_HEIGHT if len(users) > ROWS_WITHOUT_SCROLLING else "auto",
        on_select="rerun",
        selection_mode="single-row",
    ).selection.rows
    if selected_rows:
        st.session_state["user"] = (key, ids[selected_rows[0]])
    elif st.session_state.get("user", ("", None))[0] == key:
        st.session_state.pop("user")


def _make_row(user: search.UserSummary) -> dict[str, Any]:
    return {**user._asdict(), "user_id": str(user.user_id), "country": page.name_country(user.country_code)}


def draw_paging(trail: Sequence[TablePage], current: search.UserPage, total: int | None) -> None:
    """Say which users the table shows, and draw the buttons that turn the page."""
    before = trail[-1].users_before
    last = before + len(current.users)
    known_total = last if total is None and current.next is None else total
    at_least = last if current.looked_back_to else last + 1
    of = f"at least {at_least:,}" if known_total is None else f"{max(last, known_total):,}"
    span = f"{before + 1:,} to {last:,}" if current.users else "None"
    st.markdown(f"**{span}** of {of} users, most recently registered first.")
    if current.looked_back_to:
        st.caption(f"Searched registrations back to {current.looked_back_to:%Y-%m}: *Next* searches further back.")
    with st.container(horizontal=True):
        st.button(
            "Previous",
            icon=":material/chevron_left:",
            disabled=len(trail) == 1,
            width=FILTER_WIDTH,
            on_click=turn_page,
            args=(trail[:-1],),
        )
        st.button(
            "Next",
            icon=":material/chevron_right:",
            disabled=current.next is None,
            width=FILTER_WIDTH,
            on_click=turn_page,
            args=([*trail, TablePage(current.next, last)],),
        )


def turn_page(trail: Sequence[TablePage]) -> None:
    st.session_state["trail"] = (st.session_state["trail"][0], list(trail))
    st.session_state.pop("user", None)


def draw_selected_user() -> None:
    _, user_id = st.session_state.get("user", (None, None))
    if user_id is None:
        st.caption("Select a row to see everything that is known about the user.")
        return
    user = ask_cassandra(user_queries.fetch_user, user_id)
    st.subheader("User", anchor=False)
    if not page.show_freshness("Cassandra", [user]):
        return
    if user.value is None:
        st.info("This user no longer exists.", icon=":material/person_off:")
        return
    st.html(render_user_card(user.value))


@st.fragment
def draw_download(user_filter: search.UserFilter, total: int | None) -> None:
    """Draw the buttons that prepare a file, and the one that saves it. Users are read only when a file is prepared.

    The deferred mode of `st.download_button` does not work here: its file belongs to no session, and is deleted if two
    reruns of any visitors end before the browser fetches it.
    """
    st.subheader("Download", anchor=False)
    limit = downloads.MAX_USERS
    st.caption(
        f"The users who match the filters, most recently registered first, at most {limit:,}"
        + (f" of these {total:,}" if total and total > limit else "")
        + ". In CSV, text that a spreadsheet would run as a formula is prefixed with an apostrophe."
    )
    with st.container(horizontal=True):
        requested = [
            format_name
            for format_name in FORMATS
            if st.button(f"Prepare {format_name}", key=f"prepare {format_name}", width=FILTER_WIDTH)
        ]
    for format_name in requested:
        st.session_state.pop("file", None)
        with st.spinner(f"Preparing {format_name} ..."):
            prepare_file(user_filter, format_name)
    file_filter, format_name, file, as_of = st.session_state.get("file", (None, "", None, None))
    if file_filter == user_filter:
        draw_save_button(user_filter, format_name, file, as_of)


def prepare_file(user_filter: search.UserFilter, format_name: str) -> None:
    write, as_of = FORMATS[format_name][0], datetime.now(UTC)
    try:
        with downloads.CONCURRENT_FILES:
            file = read_cassandra(lambda session: write(search.iterate_users(session, user_filter, DOWNLOAD_SECONDS)))
    except UserError as error:
        st.error(formatting.escape_markdown(str(error)))
    else:
        st.session_state["file"] = (user_filter, format_name, file, as_of)


def draw_save_button(
    user_filter: search.UserFilter, format_name: str, file: downloads.DownloadFile, as_of: datetime
) -> None:
    _, extension, mime = FORMATS[format_name]
    name = downloads.name_file(user_filter, file, extension)
    st.download_button(
        f"Save {name}", file.content, name, mime, icon=":material/download:", type="primary", on_click="ignore"
    )
    truncated = " It is truncated: more users match." if file.truncated else ""
    st.caption(
        f"{format_count(file.users, 'user')}, {len(file.content) / 1e6:,.2f} MB, "
        f"as of {formatting.format_instant(as_of)}.{truncated}"
    )


draw_users()
