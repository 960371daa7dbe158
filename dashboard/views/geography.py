"""Where the users live: the world, then a region, a country and its cities."""

from collections import Counter

import streamlit as st

from dashboard import charts
from dashboard.components import figures, formatting, page
from dashboard.data.stores import ask_cassandra
from insights.model.countries import load_countries
from insights.queries import users as user_queries
from insights.text import format_count

# With 16 buckets in each of 21 countries: at most 672 points, which a browser draws instantly.
SAMPLE_PER_BUCKET = 2
CITIES = 25
WORLD = "World"

page.begin_page("Geography")


@st.fragment(run_every=page.draw_live_switch())
def draw_geography() -> None:
    countries = ask_cassandra(user_queries.read_counts, "country_code")
    if not page.show_freshness("Cassandra", [countries]):
        return
    if not countries.value:
        page.say_no_users()
        return
    draw_maps(countries.value)
    draw_drill_down(countries.value)
    draw_country_table(countries.value)


def draw_maps(countries: charts.Counts) -> None:
    page.draw_figure(
        charts.plot_country_map(countries, page.COUNTRY_NAMES),
        f"World map of users by country: {formatting.summarize_counts(countries, page.COUNTRY_NAMES)}.",
    )
    st.caption("Users by the country of their address; grey countries have none.")
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
        f"World map of the coordinates of {format_count(len(points), 'sampled user')}, "
        f"{near:,} of them near their country.",
    )
    st.caption(
        f"A sample: {len(points):,} of {format_count(sum(countries.values()), 'user')}, "
        f"the {SAMPLE_PER_BUCKET} most recently registered in each sixteenth of every country's users. "
        "The source chooses coordinates at random."
    )
    page.show_freshness("Cassandra", [sample])


def draw_drill_down(countries: charts.Counts) -> None:
    st.subheader("From region to city")
    left, right = st.columns(2)
    with left:
        region_countries = draw_region(countries)
    with right:
        draw_cities(region_countries)


def draw_region(countries: charts.Counts) -> charts.Counts:
    """Draw the chosen region and return its countries."""
    known = load_countries()
    regions = {code: (known[code].continent, known[code].sub_region) for code in countries if code in known}
    continents = {continent for continent, _ in regions.values()}
    options = [WORLD, *sorted({" · ".join(region) for region in regions.values()} | continents)]
    chosen = st.selectbox("Region", options, key="region")
    if chosen == WORLD:
        sub_regions: Counter[str] = Counter()
        for code, (_, sub_region) in regions.items():
            sub_regions[sub_region] += countries[code]
        page.draw_figure(
            charts.plot_users_by_region(sub_regions),
            f"Bar chart of users by region: {formatting.summarize_counts(sub_regions)}.",
        )
        st.caption("Users by sub-region, as defined by the United Nations' M49 standard.")
        return countries
    inside = {code: countries[code] for code, region in regions.items() if chosen in {region[0], " · ".join(region)}}
    figures.draw_users_by_country(inside, f" in {chosen}")
    st.caption(f"Users in {chosen}: {sum(inside.values()):,} of {sum(countries.values()):,}.")
    return inside


def draw_cities(countries: charts.Counts) -> None:
    """Draw the cities of the chosen country."""
    code = st.selectbox("Country", charts.sort_by_count(countries), format_func=page.name_country, key="country")
    answer = ask_cassandra(user_queries.read_cross_counts, "country_city", code)
    if not page.show_freshness("Cassandra", [answer]):
        return
    cities = {city: users for (_, city), users in (answer.value or {}).items()}
    without_city = cities.pop(None, 0)
    ordered = sorted(cities.items(), key=lambda item: (-item[1], item[0] or ""))
    largest, rest = ordered[:CITIES], ordered[CITIES:]
    bars = [*largest, (None, without_city)] if without_city else largest
    country = page.name_country(code)
    named = {charts.NOT_GIVEN if city is None else city: users for city, users in bars}
    page.draw_figure(
        charts.plot_users_by_city(bars, country),
        f"Bar chart of users by city in {country}: {formatting.summarize_counts(named)}.",
    )
    shown = format_count(len(largest), "city", "cities")
    caption = f"The {shown} in {formatting.escape_markdown(country)} with the most users."
    if rest:
        others = format_count(len(rest), "city", "cities")
        caption += f" Not shown: {others} with {format_count(sum(users for _, users in rest), 'user')}."
    if without_city:
        caption += f" Without a city: {format_count(without_city, 'user')}."
    st.caption(caption)


def draw_country_table(countries: charts.Counts) -> None:
    st.subheader("Users by country")
    users = sum(countries.values())
    page.draw_table(
        [
            {
                "country": page.name_country(code),
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
            "share": st.column_config.ProgressColumn("Share of all users", format="%.2f%%", min_value=0, max_value=100),
        },
        "Table of users by country",
    )


draw_geography()
