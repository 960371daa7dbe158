"""Who the users are: totals, figures and tables."""

from datetime import UTC, datetime

import streamlit as st

from dashboard import charts, page
from dashboard.stores import ask_cassandra, ask_postgres, refresh_seconds
from insights.countries import countries as known_countries
from insights.serve import queries

LATEST = 20
# Of each of 16 buckets of each of 21 countries: at most 672 points, which a browser draws at once.
SAMPLE_PER_BUCKET = 2

NAMES = {code: country.name for code, country in known_countries().items()}

page.begin("User Insights")


@st.fragment(run_every=refresh_seconds())
def overview() -> None:
    countries = ask_cassandra(queries.counts, "country_code")
    genders = ask_cassandra(queries.counts, "gender")
    years = ask_cassandra(queries.counts, "registered_year")
    months = ask_cassandra(queries.counts, "registered_month")
    bands = ask_cassandra(queries.counts, "age_band")
    generations = ask_cassandra(queries.counts, "generation")
    arrivals = ask_cassandra(queries.latest, LATEST)
    if not page.answered("Cassandra", [countries, genders, years, months, bands, generations, arrivals]):
        return
    totals(genders.value or {}, countries.value or {}, arrivals.value or [])
    if not countries.value:
        st.info(
            "No users yet. They appear here by themselves once the ingest has run: "
            "trigger the DAG ingest_users in Airflow, and follow its records on the Flow page.",
            icon=":material/hourglass_empty:",
        )
        return
    figures(countries.value, genders.value or {}, years.value or {}, months.value or {})
    maps(countries.value)
    ages(bands.value or {}, generations.value or {})
    countries_table(countries.value)
    arrivals_table(arrivals.value or [])


def totals(genders: charts.Counts, countries: charts.Counts, arrivals: list[queries.Arrival]) -> None:
    quarantine = ask_postgres(queries.open_quarantine)
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
        page.draw(charts.users_by_country(countries, NAMES), "Bars of users by country")
    with right:
        page.draw(charts.users_by_gender(genders), "Donut of users by gender")
        page.draw(charts.registrations_by_year(years), "Bars of registrations by year")
    page.draw(charts.registrations_by_month(months), "Line of registrations by month")


def maps(countries: charts.Counts) -> None:
    left, right = st.columns(2)
    with left:
        page.draw(charts.country_map(countries, NAMES), "World map of users by country")
    with right:
        sample = ask_cassandra(queries.geo_sample, tuple(sorted(countries)), SAMPLE_PER_BUCKET)
        points = [
            charts.Point(
                place.latitude, place.longitude, f"{place.city or '?'}, {NAMES.get(place.country_code, '?')}",
                place.location_plausible is not False,
            )
            for place in sample.value or []
        ]  # fmt: skip
        page.draw(charts.sample_map(points), "World map of a sample of users")
        st.caption(
            f"A sample: {len(points):,} of {sum(countries.values()):,} users, the latest registered of each country, "
            f"{SAMPLE_PER_BUCKET} from each sixteenth of its users. The source places users at random."
        )


def ages(bands: charts.Counts, generations: charts.Counts) -> None:
    left, right = st.columns(2)
    with left:
        page.draw(charts.users_by_age_band(bands), "Bars of users by age band")
    with right:
        page.draw(charts.users_by_generation(generations), "Bars of users by generation")


def countries_table(countries: charts.Counts) -> None:
    st.subheader("Users by country")
    users = sum(countries.values())
    page.table(
        [
            {"country": NAMES.get(code, code), "code": code, "users": count, "share": 100 * count / users}
            for code, count in sorted(countries.items(), key=lambda item: (-item[1], item[0]))
        ],
        {
            "country": "Country",
            "code": "Code",
            "users": st.column_config.NumberColumn("Users", format="localized"),
            "share": st.column_config.ProgressColumn(
                "Share of all users", format="%.2f %%", min_value=0, max_value=100
            ),
        },
        "Table of users by country",
    )


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


@st.fragment(run_every=refresh_seconds())
def users() -> None:
    countries = ask_cassandra(queries.counts, "country_code").value
    months = ask_cassandra(queries.counts, "registered_month").value
    if not countries or not months:
        return
    st.subheader("Users of a country or month")
    by, value, most = st.columns(3)
    if by.selectbox("Users of a", ["country", "month"], key="by") == "country":
        code = value.selectbox("Country", sorted(countries), format_func=lambda code: NAMES.get(code, code), key="code")
        found = ask_cassandra(queries.by_country, code, limit(most))
        total = countries[code]
    else:
        month = value.selectbox("Month of registration", sorted(months, reverse=True), key="month")
        found = ask_cassandra(queries.by_month, month, limit(most))
        total = months[month]
    if not page.answered("Cassandra", [found]):
        return
    page.table(
        [row._asdict() for row in found.value or []],
        {
            "registered_at": page.instant("Registered (UTC)"), "full_name": "Name", "gender": "Gender", "age": "Age",
            "country_code": "Country",
        },
        "Table of users of a country or month",
    )  # fmt: skip
    st.caption(f"{len(found.value or []):,} of {total:,} users, the latest registered first.")


def limit(place: st.delta_generator.DeltaGenerator) -> int:
    return int(place.selectbox("At most", [20, 50, 100, 200], key="limit"))


overview()
users()
