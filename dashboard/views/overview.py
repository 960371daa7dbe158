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
from insights.text import format_count

LATEST_ARRIVALS = 20
ARRIVAL_MINUTES = 60
GROWTH_COUNTRIES = 10  # In the figure; the Registrations page lists all.
LAST_CHECK_RESULTS = {
    LedgerState.CLOSED: "**closed**: no record was missing",
    LedgerState.IN_FLIGHT: "sound, with records in flight",
    LedgerState.BROKEN: "**broken**: records were missing, extra or changed",
}

page.begin_page("Overview")


@st.fragment(run_every=page.draw_live_switch())
def draw_overview() -> None:
    countries = ask_cassandra(user_queries.read_counts, "country_code")
    months = ask_cassandra(user_queries.read_counts, "registered_month")
    arrivals = ask_cassandra(user_queries.list_latest_arrivals, LATEST_ARRIVALS)
    if not page.show_freshness("Cassandra", [countries, months, arrivals]):
        return
    quarantine = ask_postgres(pipeline.count_open_quarantine)
    draw_totals(countries.value or {}, arrivals.value or [], quarantine)
    if not countries.value:
        page.say_no_users()
        return
    left, right = st.columns(2)
    with left, st.container(border=True, height="stretch"):
        month_growth = draw_growth_answer(countries.value, months.value or {})
    with right, st.container(border=True, height="stretch"):
        draw_completeness_answer(sum(countries.value.values()), quarantine)
    left, right = st.columns(2)
    with left:
        draw_arrivals_per_minute()
        figures.draw_registrations_by_month(months.value or {})
    with right:
        if month_growth:
            draw_growth_figure(*month_growth)
        figures.draw_users_by_country(countries.value)
    draw_arrival_table(arrivals.value or [])


def draw_totals(
    countries: charts.Counts, arrivals: list[user_queries.Arrival], quarantine: CachedAnswer[dict[str, int]]
) -> None:
    users, rejected = sum(countries.values()), sum((quarantine.value or {}).values())
    newest = arrivals[0].event_time if arrivals else None
    with st.container(horizontal=True):
        st.metric("Users", f"{users:,}", border=True, help="Users in the platform now, each counted once.")
        st.metric("Countries", f"{len(countries):,}", border=True, help="Countries with at least one user.")
        st.metric(
            "Newest record",
            formatting.format_age(newest, datetime.now(UTC)),
            border=True,
            help="When the newest record of the last seven days was fetched from the source.",
        )
        st.metric(
            "In quarantine",
            "unknown" if quarantine.value is None else formatting.format_share(rejected, users + rejected),
            border=True,
            help="Rejected records as a share of all users and rejected records. The Quarantine page says why.",
        )
    if quarantine.stale:
        st.caption("The share in quarantine is not current: PostgreSQL does not answer.")


def draw_growth_answer(
    countries: charts.Counts, months: charts.Counts
) -> tuple[str, list[growth.CountryGrowth]] | None:
    """Answer which country grew most; return the last complete month that has registrations, and its growth."""
    st.subheader("Which country grew most last month?")
    last_month = growth.find_last_complete_month(datetime.now(UTC))
    month = growth.find_newest_month(months, last_month)
    if month is None:
        st.markdown("No complete month has registrations yet.")
        return None
    answer = ask_cassandra(user_queries.read_cross_counts_since, "month_country", growth.shift_month(month, -1))
    if answer.value is None:
        page.show_freshness("Cassandra", [answer])
        return None
    by_country = growth.compute_growth(answer.value, countries, month)
    if by_country[0].users:
        draw_winners(by_country)
    st.markdown(describe_growth(by_country, month))
    if month != last_month:
        st.caption(
            f"Nobody registered in {growth.format_month(last_month)}, the last complete month: "
            f"this answer is for {growth.format_month(month)}, the most recent month with registrations."
        )
    page.show_freshness("Cassandra", [answer])
    return month, by_country


def describe_growth(by_country: list[growth.CountryGrowth], month: str) -> str:
    """Say which country gained most users and, if it is a different one, which grew fastest."""
    first, month_name = by_country[0], growth.format_month(month)
    if not first.users:
        return f"Nobody registered in {month_name}."
    sentence = (
        f"**{name_country(first)}** grew most in **{month_name}**: "
        f"**{format_count(first.users, 'user')}** registered there"
    )
    if tied := [name_country(country) for country in by_country[1:] if country.users == first.users]:
        others = f" and {len(tied) - 2} more" if len(tied) > 2 else ""
        sentence += f", as many as in {', '.join(tied[:2])}{others}"
    if first.change is not None:
        sentence += f", {formatting.format_change(first.change)} from {first.month_before:,} in the month before"
    if first.percent is not None:
        sentence += (
            f"; that is {formatting.format_change(first.percent)} on the {first.earlier:,} who had registered earlier"
        )
    fastest = growth.find_fastest(by_country)
    if fastest and fastest is not first:
        new_users = format_count(fastest.users, "new user")
        sentence += f". For its size, **{name_country(fastest)}** grew most: {new_users} on top of {fastest.earlier:,}"
    return sentence + "."


def draw_winners(by_country: list[growth.CountryGrowth]) -> None:
    most_users, most_for_size = st.columns(2)
    first = by_country[0]
    most_users.metric("Most new users", name_country(first), format_count(first.users, "user"))
    fastest = growth.find_fastest(by_country)
    if fastest and fastest.percent is not None:
        most_for_size.metric("Most for its size", name_country(fastest), formatting.format_change(fastest.percent))


def name_country(country: growth.CountryGrowth) -> str:
    return formatting.escape_markdown(page.name_country(country.country_code))


def draw_completeness_answer(users: int, quarantine: CachedAnswer[dict[str, int]]) -> None:
    """Answer whether every record that was fetched is counted on this page."""
    st.subheader("Is the data complete?")
    flow, last_ledger = ask_in_flight(), checks.get_last_ledger()
    if flow.value is None or flow.as_of is None or flow.stale or quarantine.value is None or quarantine.stale:
        st.warning("Unknown: PostgreSQL or Kafka does not answer.", icon=":material/cloud_off:")
    else:
        if flow.value.overdue:
            st.error(f"No, the flow has stalled: {flow.value.sentence()}.", icon=":material/error:")
        elif last_ledger is not None and last_ledger.state is LedgerState.BROKEN:
            st.error("No: the last full check found missing, extra or changed records.", icon=":material/error:")
        elif not flow.value.idle:
            st.info(f"Nearly: {flow.value.sentence()}.", icon=":material/pending:")
        elif last_ledger is None:
            st.info(
                "Nothing is in flight, but no full check has verified yet that no record was lost.",
                icon=":material/rule:",
            )
        else:
            st.success(
                "Yes: nothing is in flight, and the last full check found no record missing.",
                icon=":material/check_circle:",
            )
        rejected = sum(quarantine.value.values())
        st.markdown(
            f"This page counts {format_count(users, 'user')}. {format_count(rejected, 'record')} "
            f"({formatting.format_share(rejected, users + rejected)}) rejected by a rule "
            f"{'is' if rejected == 1 else 'are'} in quarantine."
        )
        st.caption(f"PostgreSQL and Kafka as of {formatting.format_instant(flow.as_of)}")
    st.markdown(describe_last_check(last_ledger))
    page.draw_page_link("flow", "Follow every record on the Flow page")


def describe_last_check(ledger: Ledger | None) -> str:
    if ledger is None:
        return "No full check, record by record, has run since this dashboard started: the Flow page can start one."
    checked_at = formatting.format_instant(ledger.checked_at)
    return f"The last full check, as of {checked_at}, found the ledger {LAST_CHECK_RESULTS[ledger.state]}."


def draw_arrivals_per_minute() -> None:
    minutes = ask_postgres(pipeline.count_arrivals_per_minute, ARRIVAL_MINUTES)
    if minutes.value is None:
        page.show_freshness("PostgreSQL", [minutes])
        return
    bars = [charts.MinuteArrivals(minute.minute, minute.inserted) for minute in minutes.value]
    users = sum(bar.users for bar in bars)
    page.draw_figure(
        charts.plot_arrivals_per_minute(bars),
        f"Bar chart of arrivals per minute: {users:,} in the last {ARRIVAL_MINUTES} minutes, "
        f"at most {max(bar.users for bar in bars):,} in one.",
    )
    st.caption(
        f"{format_count(users, 'user')} arrived in the last {ARRIVAL_MINUTES} minutes. "
        "The pale bar is the current minute."
    )
    page.show_freshness("PostgreSQL", [minutes])


def draw_growth_figure(month: str, by_country: list[growth.CountryGrowth]) -> None:
    users = {country.country_code: country.users for country in by_country}
    month_name = growth.format_month(month)
    page.draw_figure(
        charts.plot_growth_by_country(by_country[:GROWTH_COUNTRIES], month, page.COUNTRY_NAMES),
        f"Bar chart of users who registered in {month_name}, by country: "
        f"{formatting.summarize_counts(users, page.COUNTRY_NAMES)}.",
    )
    shown = format_count(min(GROWTH_COUNTRIES, len(by_country)), "country", "countries")
    st.caption(
        f"Users who registered in {month_name}, in front of those of the month before: "
        f"the {shown} with the most, out of {len(by_country)}."
    )


def draw_arrival_table(arrivals: list[user_queries.Arrival]) -> None:
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


draw_overview()
