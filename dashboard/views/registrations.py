"""When the users registered."""

from datetime import UTC, datetime

import streamlit as st

from dashboard import charts
from dashboard.components import figures, formatting, page
from dashboard.data import growth
from dashboard.data.stores import ask_cassandra
from insights.queries import users as user_queries

MONTHS = 24

page.begin("Registrations")


@st.fragment(run_every=page.live())
def registrations() -> None:
    years = ask_cassandra(user_queries.counts, "registered_year")
    months = ask_cassandra(user_queries.counts, "registered_month")
    weekdays = ask_cassandra(user_queries.counts, "registered_weekday")
    generations = ask_cassandra(user_queries.cross_counts, "year_generation")
    countries = ask_cassandra(user_queries.counts, "country_code")
    if not page.answered("Cassandra", [years, months, weekdays, generations, countries]):
        return
    if not years.value or not months.value:
        page.no_users()
        return
    figures.registrations_by_month(months.value)
    left, right = st.columns(2)
    with left:
        by_year(years.value)
    with right:
        by_weekday(weekdays.value or {})
    cohorts(generations.value or {})
    by_country(countries.value or {}, months.value)


def by_year(years: charts.Counts) -> None:
    page.draw(charts.registrations_by_year(years), f"Bars of registrations by year: {formatting.most(years)}.")
    st.caption("Users by the year in which they registered; the first and the last may be parts of a year.")


def by_weekday(weekdays: charts.Counts) -> None:
    named = {charts.WEEKDAYS[int(day) - 1]: users for day, users in weekdays.items()}
    page.draw(charts.registrations_by_weekday(weekdays), f"Bars of registrations by weekday: {formatting.most(named)}.")
    st.caption("Users by the weekday on which they registered, in UTC.")


def cohorts(generations: charts.Pairs) -> None:
    pairs = {f"{generation} in {year}": users for (year, generation), users in generations.items()}
    page.draw(
        charts.cohorts(generations), f"Heat map of registrations by year and generation: {formatting.most(pairs)}."
    )
    st.caption("The share of each generation in the registrations of a year: a column adds up to 100 %.")


def by_country(countries: charts.Counts, months: charts.Counts) -> None:
    month = growth.newest_month(months, growth.last_complete_month(datetime.now(UTC)))
    if month is None:
        return
    st.subheader("Growth by country")
    span = growth.span(month, MONTHS)
    crossed = ask_cassandra(user_queries.cross_counts_since, "month_country", span[0])
    if not page.answered("Cassandra", [crossed]):
        return
    found = crossed.value or {}
    page.table(
        [
            {
                "country": page.COUNTRY_NAMES.get(country.country_code, country.country_code),
                "line": [found.get((past, country.country_code), 0) for past in span],
                "users": country.users, "before": country.month_before,
                "change": country.change, "percent": country.percent,
            }
            for country in growth.growth(found, countries, month)
        ],
        {
            "country": "Country", "users": page.number(growth.name(month)),
            "before": page.number(growth.name(growth.shifted(month, -1))),
            "change": st.column_config.NumberColumn("Change", format="%+.1f %%"),
            "percent": st.column_config.NumberColumn("Growth", format="%+.2f %%"),
            "line": st.column_config.LineChartColumn(f"{growth.name(span[0])} to {growth.name(month)}", y_min=0),
        },
        "Table of growth by country",
    )  # fmt: skip
    st.caption(
        f"Users who registered in {growth.name(month)}, the newest complete month with registrations, and in the month "
        f"before. Growth is in percent of the users who had registered earlier. The line is of {MONTHS} months, "
        "each country on its own scale."
    )


registrations()
