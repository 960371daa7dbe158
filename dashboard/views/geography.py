"""Where the users live: the world, then a region, a country, its cities."""

from collections import Counter

import streamlit as st

from dashboard import charts
from dashboard.components import figures, formatting, page
from dashboard.data.stores import ask_cassandra
from insights.model.countries import load_countries
from insights.queries import users as user_queries

# Of each of 16 buckets of each of 21 countries: at most 672 points, which a browser draws at once.
SAMPLE_PER_BUCKET = 2
CITIES = 25
WORLD = "World"

page.begin_page("Geography")


@st.fragment(run_every=page.draw_live_switch())
def geography() -> None:
    countries = ask_cassandra(user_queries.read_counts, "country_code")
    if not page.show_freshness("Cassandra", [countries]):
        return
    if not countries.value:
        page.say_no_users()
        return
    maps(countries.value)
    drill_down(countries.value)
    countries_table(countries.value)


def maps(countries: charts.Counts) -> None:
    page.draw_figure(
        charts.plot_country_map(countries, page.COUNTRY_NAMES),
        f"World map of users by country: {formatting.summarize_counts(countries, page.COUNTRY_NAMES)}.",
    )
    st.caption("Users by country of their address; grey countries have none.")
    sample = ask_cassandra(user_queries.sample_places, tuple(sorted(countries)), SAMPLE_PER_BUCKET)
    points = [
        charts.MapPoint(
            place.latitude,
            place.longitude,
            f"{place.city or '?'}, {page.COUNTRY_NAMES.get(place.country_code, '?')}",
            place.location_plausible is not False,
        )
        for place in sample.value or []
    ]
    near = sum(point.plausible for point in points)
    page.draw_figure(
        charts.plot_sample_map(points),
        f"World map of the coordinates of {len(points):,} sampled users, {near:,} of them near their country.",
    )
    st.caption(
        f"A sample: {len(points):,} of {sum(countries.values()):,} users, the latest registered of each country, "
        f"{SAMPLE_PER_BUCKET} from each sixteenth of its users. The source places users at random."
    )
    page.show_freshness("Cassandra", [sample])


def drill_down(countries: charts.Counts) -> None:
    st.subheader("From region to city")
    left, right = st.columns(2)
    with left:
        inside = in_region(countries)
    with right:
        cities(inside)


def in_region(countries: charts.Counts) -> charts.Counts:
    """The countries of the region that is chosen, drawn."""
    known = load_countries()
    placed = {code: (known[code].continent, known[code].sub_region) for code in countries if code in known}
    options = [
        WORLD,
        *sorted({" · ".join(place) for place in placed.values()} | {place[0] for place in placed.values()}),
    ]
    region = st.selectbox("Region", options, key="region")
    if region == WORLD:
        regions: Counter[str] = Counter()
        for code, (_, sub_region) in placed.items():
            regions[sub_region] += countries[code]
        page.draw_figure(
            charts.plot_users_by_region(regions), f"Bars of users by region: {formatting.summarize_counts(regions)}."
        )
        st.caption("Users by sub-region of the United Nations' M49 standard.")
        return countries
    inside = {code: countries[code] for code, place in placed.items() if region in {place[0], " · ".join(place)}}
    figures.draw_users_by_country(inside, f" in {region}")
    st.caption(f"{sum(inside.values()):,} of {sum(countries.values()):,} users live in {region}.")
    return inside


def cities(countries: charts.Counts) -> None:
    """The cities of a country."""
    code = st.selectbox(
        "Country",
        charts.sort_by_count(countries),
        format_func=lambda code: page.COUNTRY_NAMES.get(code, code),
        key="country",
    )
    found = ask_cassandra(user_queries.read_cross_counts, "country_city", code)
    if not page.show_freshness("Cassandra", [found]):
        return
    counts = {city: users for (_, city), users in (found.value or {}).items()}
    missing = counts.pop(None, 0)
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0] or ""))
    shown, rest = ordered[:CITIES], ordered[CITIES:]
    drawn = [*shown, (None, missing)] if missing else shown
    name = page.COUNTRY_NAMES.get(code, code)
    named = {charts.NOT_GIVEN if city is None else city: users for city, users in drawn}
    page.draw_figure(
        charts.plot_users_by_city(drawn, name),
        f"Bars of users by city of {name}: {formatting.summarize_counts(named)}.",
    )
    words = f"The {len(shown):,} cities of {name} with most users"
    if rest:
        words += f" and {len(rest):,} others with {sum(users for _, users in rest):,} users"
    st.caption(formatting.escape_markdown(f"{words}; {missing:,} users have no city." if missing else f"{words}."))


def countries_table(countries: charts.Counts) -> None:
    st.subheader("Users by country")
    users = sum(countries.values())
    page.draw_table(
        [
            {
                "country": page.COUNTRY_NAMES.get(code, code),
                "code": code,
                "users": countries[code],
                "share": 100 * countries[code] / users,
            }
            for code in charts.sort_by_count(countries)
        ],
        {
            "country": "Country",
            "code": "Code",
            "users": page.make_number_column("Users"),
            "share": st.column_config.ProgressColumn(
                "Share of all users", format="%.2f %%", min_value=0, max_value=100
            ),
        },
        "Table of users by country",
    )


geography()
