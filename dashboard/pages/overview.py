"""Who the users are: totals, figures and tables."""

from datetime import UTC, datetime

import streamlit as st

from dashboard import charts, page
from dashboard.stores import ask_cassandra, ask_postgres, refresh_seconds
from insights.serve import progress, queries

LATEST = 20

page.begin("Overview")


@st.fragment(run_every=refresh_seconds())
def overview() -> None:
    countries = ask_cassandra(queries.counts, "country_code")
    genders = ask_cassandra(queries.counts, "gender")
    years = ask_cassandra(queries.counts, "registered_year")
    months = ask_cassandra(queries.counts, "registered_month")
    arrivals = ask_cassandra(queries.latest, LATEST)
    if not page.answered("Cassandra", [countries, genders, years, months, arrivals]):
        return
    totals(genders.value or {}, countries.value or {}, arrivals.value or [])
    if not countries.value:
        page.no_users()
        return
    figures(countries.value, genders.value or {}, years.value or {}, months.value or {})
    arrivals_table(arrivals.value or [])


def totals(genders: charts.Counts, countries: charts.Counts, arrivals: list[queries.Arrival]) -> None:
    quarantine = ask_postgres(progress.open_quarantine)
    users, refused = sum(genders.values()), sum((quarantine.value or {}).values())
    newest = arrivals[0].event_time if arrivals else None
    cards = st.columns(4)
    cards[0].metric("Users", f"{users:,}", border=True, help="Users that are served now, each counted once.")
    cards[1].metric("Countries", f"{len(countries):,}", border=True)
    cards[2].metric(
        "Newest record", page.ago(newest, datetime.now(UTC)), border=True,
        help="Since the newest record of the last seven days was fetched from the source.",
    )  # fmt: skip
    cards[3].metric(
        "In quarantine", "unknown" if quarantine.value is None else page.share(refused, users + refused), border=True,
        help="Records that a rule refused, as a share of those served and refused. The Quarantine page says why.",
    )  # fmt: skip
    if quarantine.stale:
        st.caption("The quarantine share is not current: PostgreSQL does not answer.")


def figures(countries: charts.Counts, genders: charts.Counts, years: charts.Counts, months: charts.Counts) -> None:
    left, right = st.columns(2)
    with left:
        page.draw(charts.users_by_country(countries, page.COUNTRY_NAMES), "Bars of users by country")
    with right:
        page.draw(charts.users_by_gender(genders), "Donut of users by gender")
        page.draw(charts.registrations_by_year(years), "Bars of registrations by year")
    page.draw(charts.registrations_by_month(months), "Line of registrations by month")


def arrivals_table(arrivals: list[queries.Arrival]) -> None:
    st.subheader("Latest arrivals")
    if not arrivals:
        st.info("No user has arrived in the last seven days.")
        return
    page.table(
        [arrival._asdict() for arrival in arrivals],
        {
            "event_time": page.instant("Fetched (UTC)"), "full_name": "Name", "gender": "Gender", "age": "Age",
            "country": "Country", "city": "City",
        },
        "Table of the latest arrivals",
    )  # fmt: skip


overview()
