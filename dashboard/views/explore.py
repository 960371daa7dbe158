"""Look at users one by one."""

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

ROWS = 50
TABLE_HEIGHT = 430
FILTER_WIDTH = 150
"""Pixels: five side by side on a desktop, two on a telephone."""
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


class Turn(NamedTuple):
    """A page of the table: where it begins, and how many users are before it."""

    cursor: search.KeysetCursor | None
    before: int


page.begin_page("Explore")


@st.fragment(run_every=page.draw_live_switch())
def users() -> None:
    months = ask_cassandra(user_queries.read_counts, "registered_month")
    if not months.value:
        if page.show_freshness("Cassandra", [months]):
            page.say_no_users()
        return
    chosen = filters(sorted(months.value, reverse=True))
    total = ask_cassandra(search.count_users, chosen)
    if total.value == 0:
        page.show_freshness("Cassandra", [months, total])
        none_match(chosen)
        return
    trail = trail_of(chosen)
    found = ask_cassandra(search.fetch_page, chosen, trail[-1].cursor, ROWS)
    if total.as_of is None or found.value is None:
        page.show_freshness("Cassandra", [months])
        st.info("These users were not asked for before Cassandra went away.", icon=":material/cloud_off:")
        return
    page.show_freshness("Cassandra", [months, total, found])
    if not found.value.users and len(trail) == 1 and found.value.next is None:
        none_match(chosen)
        return
    table(found.value.users)
    turn(trail, found.value, total.value)
    one_user()
    download(chosen, total.value)


def filters(months: Sequence[str]) -> search.UserFilter:
    """The visitor's choice, which the address of the page holds; a value there that is no choice is left out."""
    names = page.COUNTRY_NAMES
    with st.container(horizontal=True):
        return search.UserFilter(
            choice("Country", sorted(names, key=lambda code: names[code]), "country", names),
            choice("Gender", ["female", "male"], "gender"),
            choice("Age band", BAND_NAMES, "age"),
            choice("Registered from", months, "from"),
            choice("Registered until", months, "until"),
        )


def choice(label: str, options: Sequence[str], key: str, names: Mapping[str, str] | None = None) -> str | None:
    found: str | None = st.selectbox(
        label,
        options,
        index=None,
        key=key,
        placeholder="Any",
        bind="query-params",
        width=FILTER_WIDTH,
        format_func=lambda option: (names or {}).get(option, option),
    )
    return found


def none_match(chosen: search.UserFilter) -> None:
    if chosen.since and chosen.until and chosen.since > chosen.until:
        st.info(f"No month is from {chosen.since} until {chosen.until}: swap them.", icon=":material/search_off:")
    else:
        st.info("No user matches these filters.", icon=":material/search_off:")


def trail_of(chosen: search.UserFilter) -> list[Turn]:
    """The way to the page that is shown, which begins anew with other filters."""
    kept, trail = st.session_state.get("trail", (None, []))
    if kept != chosen:
        trail = [Turn(None, 0)]
        st.session_state["trail"] = (chosen, trail)
        st.session_state.pop("user", None)
    return list(trail)


def table(found: Sequence[search.UserSummary]) -> None:
    """The users of this page. Other users make another table, so that a selected row is still the user selected."""
    ids = tuple(user.user_id for user in found)
    key = f"users {hash(ids)}"
    selected = page.draw_table(
        [row(user) for user in found],
        COLUMNS,
        f"Table of {len(found)} users, the latest registered first. Select a row to see the user.",
        key=key,
        height=TABLE_HEIGHT if len(found) > 11 else "auto",
        on_select="rerun",
        selection_mode="single-row",
    ).selection.rows
    if selected:
        st.session_state["user"] = (key, ids[selected[0]])
    elif st.session_state.get("user", ("", None))[0] == key:
        st.session_state.pop("user")


def row(user: search.UserSummary) -> dict[str, Any]:
    country = page.COUNTRY_NAMES.get(user.country_code, user.country_code)
    return {**user._asdict(), "user_id": str(user.user_id), "country": country}


def turn(trail: Sequence[Turn], shown: search.UserPage, total: int | None) -> None:
    """Which users these are, and the ways to the others."""
    before = trail[-1].before
    last = before + len(shown.users)
    known = last if total is None and shown.next is None else total
    at_least = last if shown.looked_back_to else last + 1
    of = f"at least {at_least:,}" if known is None else f"{max(last, known):,}"
    span = f"{before + 1:,} to {last:,}" if shown.users else "None"
    st.markdown(f"**{span}** of {of} users, the latest registered first.")
    if shown.looked_back_to:
        st.caption(f"Looked at users registered back to {shown.looked_back_to:%Y-%m}: *Next* looks further back.")
    with st.container(horizontal=True):
        st.button(
            "Previous",
            icon=":material/chevron_left:",
            disabled=len(trail) == 1,
            width=FILTER_WIDTH,
            on_click=go,
            args=(trail[:-1],),
        )
        st.button(
            "Next",
            icon=":material/chevron_right:",
            disabled=shown.next is None,
            width=FILTER_WIDTH,
            on_click=go,
            args=([*trail, Turn(shown.next, last)],),
        )


def go(trail: Sequence[Turn]) -> None:
    st.session_state["trail"] = (st.session_state["trail"][0], list(trail))
    st.session_state.pop("user", None)


def one_user() -> None:
    _, user_id = st.session_state.get("user", (None, None))
    if user_id is None:
        st.caption("Select a row to see everything that is known of a user.")
        return
    found = ask_cassandra(user_queries.fetch_user, user_id)
    st.subheader("User", anchor=False)
    if not page.show_freshness("Cassandra", [found]):
        return
    if found.value is None:
        st.info("This user is served no longer.", icon=":material/person_off:")
        return
    st.html(render_user_card(found.value))


@st.fragment
def download(chosen: search.UserFilter, total: int | None) -> None:
    """Files are read when they are asked for, not before.

    Not by `st.download_button`'s own deferral: what it makes belongs to no session, and is gone when two reruns of any
    visitors end before the browser fetches it.
    """
    st.subheader("Download", anchor=False)
    most = downloads.MOST_USERS
    st.caption(
        f"The users that match the filters, the latest registered first, at most {most:,}"
        + (f" of these {total:,}" if total and total > most else "")
        + ". In CSV a text that a spreadsheet would run as a formula begins with an apostrophe."
    )
    with st.container(horizontal=True):
        wanted = [kind for kind in FORMATS if st.button(f"Prepare {kind}", key=f"prepare {kind}", width=FILTER_WIDTH)]
    for kind in wanted:
        st.session_state.pop("file", None)
        with st.spinner(f"Reading the users for {kind} ..."):
            prepare(chosen, kind)
    offered, kind, file, as_of = st.session_state.get("file", (None, "", None, None))
    if offered == chosen:
        save(chosen, kind, file, as_of)


def prepare(chosen: search.UserFilter, kind: str) -> None:
    make, as_of = FORMATS[kind][0], datetime.now(UTC)
    try:
        with downloads.AT_ONCE:
            file = read_cassandra(lambda session: make(search.iterate_users(session, chosen, DOWNLOAD_SECONDS)))
    except UserError as error:
        st.error(formatting.escape_markdown(str(error)))
    else:
        st.session_state["file"] = (chosen, kind, file, as_of)


def save(chosen: search.UserFilter, kind: str, file: downloads.DownloadFile, as_of: datetime) -> None:
    _, ending, mime = FORMATS[kind]
    name = downloads.name_file(chosen, file, ending)
    st.download_button(
        f"Save {name}", file.content, name, mime, icon=":material/download:", type="primary", on_click="ignore"
    )
    cut = " It is cut: there are more." if file.cut else ""
    st.caption(
        f"{file.users:,} users, {len(file.content) / 1e6:,.2f} MB, as of {formatting.format_instant(as_of)}.{cut}"
    )


users()
