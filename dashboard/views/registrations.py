"""When the users registered, and how the countries grow."""

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
def draw_registrations() -> None:
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
        draw_years(years.value)
    with right:
        draw_weekdays(weekdays.value or {})
    draw_cohorts(generations.value or {})
    draw_growth_by_country(countries.value or {}, months.value)


def draw_years(years: charts.Counts) -> None:
    page.draw_figure(
        charts.plot_registrations_by_year(years),
        f"Bar chart of registrations by year: {formatting.summarize_counts(years)}.",
    )
    st.caption("Users by year of registration; the first and the last year may be incomplete.")


def draw_weekdays(weekdays: charts.Counts) -> None:
    named = {charts.WEEKDAYS[int(day) - 1]: users for day, users in weekdays.items()}
    page.draw_figure(
        charts.plot_registrations_by_weekday(weekdays),
        f"Bar chart of registrations by weekday: {formatting.summarize_counts(named)}.",
    )
    st.caption("Users by weekday of registration, in UTC.")


def draw_cohorts(generations: charts.Pairs) -> None:
    cohorts = {f"{generation} in {year}": users for (year, generation), users in generations.items()}
    page.draw_figure(
        charts.plot_cohorts(generations),
        f"Heat map of registrations by year and generation: {formatting.summarize_counts(cohorts)}.",
    )
    st.caption("Each generation's share of a year's registrations: every column adds up to 100%.")


def draw_growth_by_country(countries: charts.Counts, months: charts.Counts) -> None:
    month = growth.find_newest_month(months, growth.find_last_complete_month(datetime.now(UTC)))
    if month is None:
        return
    st.subheader("Growth by country")
    past_months = growth.list_months(month, MONTHS)
    answer = ask_cassandra(user_queries.read_cross_counts_since, "month_country", past_months[0])
    if not page.show_freshness("Cassandra", [answer]):
        return
    month_countries = answer.value or {}
    month_name = growth.format_month(month)
    page.draw_table(
        [
            {
                "country": page.name_country(country.country_code),
                "line": [month_countries.get((past_month, country.country_code), 0) for past_month in past_months],
                "users": country.users,
                "before": country.month_before,
                "change": country.change,
                "percent": country.percent,
            }
            for country in growth.compute_growth(month_countries, countries, month)
        ],
        {
            "country": "Country",
            "users": page.make_number_column(month_name),
            "before": page.make_number_column(growth.format_month(growth.shift_month(month, -1))),
            "change": st.column_config.NumberColumn("Change", format="%+.1f%%"),
            "percent": st.column_config.NumberColumn("Growth", format="%+.2f%%"),
            "line": st.column_config.LineChartColumn(f"{growth.format_month(past_months[0])} to {month_name}", y_min=0),
        },
        "Table of growth by country",
    )
    st.caption(
        f"Users who registered in {month_name}, the most recent complete month with registrations, and in the month "
        f"before. Growth is relative to all users who had registered before {month_name}. "
        f"The line covers {MONTHS} months; each country has its own scale."
    )


draw_registrations()
