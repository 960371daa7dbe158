"""When the users registered."""

from datetime import UTC, datetime

import streamlit as st

from dashboard import charts
from dashboard.components import figures, formatting, page
from dashboard.data import growth
from dashboard.data.stores import ask_cassandra
from insights.queries import users as user_queries

MONTHS = 24

page.begin_page("Registrations")


@st.fragment(run_every=page.draw_live_switch())
def registrations() -> None:
    years = ask_cassandra(user_queries.read_counts, "registered_year")
    months = ask_cassandra(user_queries.read_counts, "registered_month")
    weekdays = ask_cassandra(user_queries.read_counts, "registered_weekday")
    generations = ask_cassandra(user_queries.read_cross_counts, "year_generation")
    countries = ask_cassandra(user_queries.read_counts, "country_code")
    if not page.show_freshness("Cassandra", [years, months, weekdays, generations, countries]):
        return
    if not years.value or not months.value:
        page.say_no_users()
        return
    figures.draw_registrations_by_month(months.value)
    left, right = st.columns(2)
    with left:
        by_year(years.value)
    with right:
        by_weekday(weekdays.value or {})
    cohorts(generations.value or {})
    by_country(countries.value or {}, months.value)


def by_year(years: charts.Counts) -> None:
    page.draw_figure(
        charts.plot_registrations_by_year(years),
        f"Bars of registrations by year: {formatting.summarize_counts(years)}.",
    )
    st.caption("Users by the year in which they registered; the first and the last may be parts of a year.")


def by_weekday(weekdays: charts.Counts) -> None:
    named = {charts.WEEKDAYS[int(day) - 1]: users for day, users in weekdays.items()}
    page.draw_figure(
        charts.plot_registrations_by_weekday(weekdays),
        f"Bars of registrations by weekday: {formatting.summarize_counts(named)}.",
    )
    st.caption("Users by the weekday on which they registered, in UTC.")


def cohorts(generations: charts.Pairs) -> None:
    pairs = {f"{generation} in {year}": users for (year, generation), users in generations.items()}
    page.draw_figure(
        charts.plot_cohorts(generations),
        f"Heat map of registrations by year and generation: {formatting.summarize_counts(pairs)}.",
    )
    st.caption("The share of each generation in the registrations of a year: a column adds up to 100 %.")


def by_country(countries: charts.Counts, months: charts.Counts) -> None:
    month = growth.find_newest_month(months, growth.find_last_complete_month(datetime.now(UTC)))
    if month is None:
        return
    st.subheader("Growth by country")
    span = growth.list_months(month, MONTHS)
    crossed = ask_cassandra(user_queries.read_cross_counts_since, "month_country", span[0])
    if not page.show_freshness("Cassandra", [crossed]):
        return
    found = crossed.value or {}
    page.draw_table(
        [
            {
                "country": page.COUNTRY_NAMES.get(country.country_code, country.country_code),
                "line": [found.get((past, country.country_code), 0) for past in span],
                "users": country.users,
                "before": country.month_before,
                "change": country.change,
                "percent": country.percent,
            }
            for country in growth.compute_growth(found, countries, month)
        ],
        {
            "country": "Country",
            "users": page.make_number_column(growth.format_month(month)),
            "before": page.make_number_column(growth.format_month(growth.shift_month(month, -1))),
            "change": st.column_config.NumberColumn("Change", format="%+.1f %%"),
            "percent": st.column_config.NumberColumn("Growth", format="%+.2f %%"),
            "line": st.column_config.LineChartColumn(
                f"{growth.format_month(span[0])} to {growth.format_month(month)}", y_min=0
            ),
        },
        "Table of growth by country",
    )
    st.caption(
        f"Users who registered in {growth.format_month(month)}, the newest complete month with registrations, "
        f"and in the month before. Growth is in percent of the users who had registered earlier. "
        f"The line is of {MONTHS} months, each country on its own scale."
    )


registrations()
