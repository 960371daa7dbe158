"""Where the users live."""

import streamlit as st

from dashboard import charts, page
from dashboard.stores import ask_cassandra, refresh_seconds
from insights.serve import queries

# Of each of 16 buckets of each of 21 countries: at most 672 points, which a browser draws at once.
SAMPLE_PER_BUCKET = 2

page.begin("Geography")


@st.fragment(run_every=refresh_seconds())
def geography() -> None:
    countries = ask_cassandra(queries.counts, "country_code")
    if not page.answered("Cassandra", [countries]):
        return
    if not countries.value:
        page.no_users()
        return
    maps(countries.value)
    countries_table(countries.value)


def maps(countries: charts.Counts) -> None:
    left, right = st.columns(2)
    with left:
        page.draw(charts.country_map(countries, page.COUNTRY_NAMES), "World map of users by country")
    with right:
        sample = ask_cassandra(queries.geo_sample, tuple(sorted(countries)), SAMPLE_PER_BUCKET)
        points = [
            charts.Point(
                place.latitude,
                place.longitude,
                f"{place.city or '?'}, {page.COUNTRY_NAMES.get(place.country_code, '?')}",
                place.location_plausible is not False,
            )
            for place in sample.value or []
        ]
        page.draw(charts.sample_map(points), "World map of a sample of users")
        st.caption(
            f"A sample: {len(points):,} of {sum(countries.values()):,} users, the latest registered of each country, "
            f"{SAMPLE_PER_BUCKET} from each sixteenth of its users. The source places users at random."
        )


def countries_table(countries: charts.Counts) -> None:
    st.subheader("Users by country")
    users = sum(countries.values())
    page.table(
        [
            {"country": page.COUNTRY_NAMES.get(code, code), "code": code, "users": count, "share": 100 * count / users}
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


geography()
