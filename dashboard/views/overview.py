"""The platform at a glance: how many users, who arrives, which country grows, and whether anything is missing."""

from datetime import UTC, datetime

import streamlit as st

from dashboard import charts
from dashboard.components import figures, formatting, page
from dashboard.data import checks, growth
from dashboard.data.answers import CachedAnswer
from dashboard.data.stores import ask_cassandra, ask_in_flight, ask_postgres
from insights.ledger.hops import Ledger, LedgerState
from insights.queries import pipeline
from insights.queries import users as user_queries

LATEST = 20
MINUTES = 60
COUNTRIES = 10  # Whose growth is drawn; the Registrations page has them all.
CHECKED = {
    LedgerState.CLOSED: "**closed**: no record was missing",
    LedgerState.IN_FLIGHT: "sound, with records in flight",
    LedgerState.BROKEN: "**broken**: records were missing or in excess",
}

page.begin_page("Overview")


@st.fragment(run_every=page.draw_live_switch())
def overview() -> None:
    countries = ask_cassandra(user_queries.read_counts, "country_code")
    months = ask_cassandra(user_queries.read_counts, "registered_month")
    arrivals = ask_cassandra(user_queries.list_latest_arrivals, LATEST)
    if not page.show_freshness("Cassandra", [countries, months, arrivals]):
        return
    quarantine = ask_postgres(pipeline.count_open_quarantine)
    totals(countries.value or {}, arrivals.value or [], quarantine)
    if not countries.value:
        page.say_no_users()
        return
    left, right = st.columns(2)
    with left, st.container(border=True, height="stretch"):
        grown = grown_most(countries.value, months.value or {})
    with right, st.container(border=True, height="stretch"):
        complete(sum(countries.value.values()), quarantine)
    left, right = st.columns(2)
    with left:
        arriving()
        figures.draw_registrations_by_month(months.value or {})
    with right:
        if grown:
            growing(*grown)
        figures.draw_users_by_country(countries.value)
    arrivals_table(arrivals.value or [])


def totals(
    countries: charts.Counts, arrivals: list[user_queries.Arrival], quarantine: CachedAnswer[dict[str, int]]
) -> None:
    users, refused = sum(countries.values()), sum((quarantine.value or {}).values())
    newest = arrivals[0].event_time if arrivals else None
    with st.container(horizontal=True):
        st.metric("Users", f"{users:,}", border=True, help="Users that are served now, each counted once.")
        st.metric("Countries", f"{len(countries):,}", border=True, help="In which at least one of them lives.")
        st.metric(
            "Newest record",
            formatting.format_age(newest, datetime.now(UTC)),
            border=True,
            help="Since the newest record of the last seven days was fetched from the source.",
        )
        st.metric(
            "In quarantine",
            "unknown" if quarantine.value is None else formatting.format_share(refused, users + refused),
            border=True,
            help="Records that a rule refused, as a share of those served and refused. The Quarantine page says why.",
        )
    if quarantine.stale:
        st.caption("The quarantine share is not current: PostgreSQL does not answer.")


def grown_most(countries: charts.Counts, months: charts.Counts) -> tuple[str, list[growth.CountryGrowth]] | None:
    """The answer to which country grew most in the last complete month that has registrations."""
    st.subheader("Which country grew most last month?")
    last = growth.find_last_complete_month(datetime.now(UTC))
    month = growth.find_newest_month(months, last)
    if month is None:
        st.markdown("No complete month has a registration yet.")
        return None
    crossed = ask_cassandra(user_queries.read_cross_counts_since, "month_country", growth.shift_month(month, -1))
    if crossed.value is None:
        page.show_freshness("Cassandra", [crossed])
        return None
    grown = growth.compute_growth(crossed.value, countries, month)
    if grown[0].users:
        winners(grown)
    st.markdown(in_words(grown, month))
    if month != last:
        st.caption(
            f"Nobody registered in {growth.format_month(last)}, the last complete month: "
            f"this is {growth.format_month(month)}, the newest with registrations."
        )
    page.show_freshness("Cassandra", [crossed])
    return month, grown


def in_words(grown: list[growth.CountryGrowth], month: str) -> str:
    """Who grew most by users and, if that is another country, for its size."""
    first, named = grown[0], growth.format_month(month)
    if not first.users:
        return f"Nobody registered in {named}."
    words = f"**{country(first)}** grew most in **{named}**: **{first.users:,}** users registered there"
    if level := [country(other) for other in grown[1:] if other.users == first.users]:
        others = f" and {len(level) - 2} more" if len(level) > 2 else ""
        words += f", as many as in {', '.join(level[:2])}{others}"
    if first.change is not None:
        words += f", {formatting.format_change(first.change)} against {first.month_before:,} in the month before"
    if first.percent is not None:
        words += (
            f"; that is {formatting.format_change(first.percent)} on the {first.earlier:,} who had registered earlier"
        )
    by_size = growth.find_fastest(grown)
    if by_size and by_size is not first:
        words += f". For its size, **{country(by_size)}** grew most: {by_size.users:,} users on {by_size.earlier:,}"
    return words + "."


def winners(grown: list[growth.CountryGrowth]) -> None:
    by_users, by_size = st.columns(2)
    by_users.metric("Most new users", country(grown[0]), f"{grown[0].users:,} users")
    fastest = growth.find_fastest(grown)
    if fastest and fastest.percent is not None:
        by_size.metric("Most for its size", country(fastest), formatting.format_change(fastest.percent))


def country(grown: growth.CountryGrowth) -> str:
    return formatting.escape_markdown(page.COUNTRY_NAMES.get(grown.country_code, grown.country_code))


def complete(users: int, quarantine: CachedAnswer[dict[str, int]]) -> None:
    """The answer to whether every record that was fetched is in the numbers of this page."""
    st.subheader("Is the data complete?")
    flow, found = ask_in_flight(), checks.get_last_ledger()
    if flow.value is None or flow.as_of is None or flow.stale or quarantine.value is None or quarantine.stale:
        st.warning("Not known: PostgreSQL or Kafka does not answer.", icon=":material/cloud_off:")
    else:
        refused = sum(quarantine.value.values())
        if flow.value.overdue:
            st.error(f"No, the flow is stuck: {flow.value.sentence()}.", icon=":material/error:")
        elif found is not None and found.state is LedgerState.BROKEN:
            st.error("No: the last full check missed records, or found some in excess.", icon=":material/error:")
        elif not flow.value.idle:
            st.info(f"Nearly: {flow.value.sentence()}.", icon=":material/pending:")
        elif found is None:
            st.info("Nothing is in flight. No full check has proven yet that nothing was lost.", icon=":material/rule:")
        else:
            st.success("Yes: nothing is in flight, and no record was missing.", icon=":material/check_circle:")
        st.markdown(
            f"{users:,} users are counted here, {refused:,} records "
            f"({formatting.format_share(refused, users + refused)}) were refused by a rule and wait in quarantine."
        )
        st.caption(f"PostgreSQL and Kafka as of {formatting.format_instant(flow.as_of)}")
    st.markdown(last_check(found))
    page.draw_page_link("flow", "Follow every record on the Flow page")


def last_check(found: Ledger | None) -> str:
    if found is None:
        return "No full check, record by record, was made since this dashboard started: the Flow page makes one."
    checked_at = formatting.format_instant(found.checked_at)
    return f"The last full check, as of {checked_at}, found the ledger {CHECKED[found.state]}."


def arriving() -> None:
    minutes = ask_postgres(pipeline.count_arrivals_per_minute, MINUTES)
    if minutes.value is None:
        page.show_freshness("PostgreSQL", [minutes])
        return
    bars = [charts.MinuteArrivals(minute.minute, minute.inserted) for minute in minutes.value]
    users = sum(arrivals.users for arrivals in bars)
    page.draw_figure(
        charts.plot_arrivals_per_minute(bars),
        f"Bars of arrivals per minute: {users:,} in the last {MINUTES} minutes, "
        f"at most {max(arrivals.users for arrivals in bars):,} in one.",
    )
    st.caption(f"{users:,} users arrived in the last {MINUTES} minutes. The pale bar is the minute that still runs.")
    page.show_freshness("PostgreSQL", [minutes])


def growing(month: str, grown: list[growth.CountryGrowth]) -> None:
    users = {country.country_code: country.users for country in grown}
    page.draw_figure(
        charts.plot_growth_by_country(grown[:COUNTRIES], month, page.COUNTRY_NAMES),
        f"Bars of users who registered in {growth.format_month(month)}, by country: "
        f"{formatting.summarize_counts(users, page.COUNTRY_NAMES)}.",
    )
    shown = min(COUNTRIES, len(grown))
    st.caption(
        f"Users who registered in {growth.format_month(month)}, in front of the month before: "
        f"the {shown} countries with most, of {len(grown)}."
    )


def arrivals_table(arrivals: list[user_queries.Arrival]) -> None:
    st.subheader("Latest arrivals")
    if not arrivals:
        st.info("No user has arrived in the last seven days.")
        return
    page.draw_table(
        [arrival._asdict() for arrival in arrivals],
        {
            "event_time": page.make_instant_column("Fetched (UTC)"),
            "full_name": "Name",
            "gender": "Gender",
            "age": "Age",
            "country": "Country",
            "city": "City",
        },
        "Table of the latest arrivals",
    )


overview()
