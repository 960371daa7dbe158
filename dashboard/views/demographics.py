"""Who the users are: gender, age, generation and country."""

import streamlit as st

from dashboard import charts
from dashboard.components import figures, formatting, page
from dashboard.data.stores import ask_cassandra
from insights.queries import users as user_queries

page.begin_page("Demographics")


@st.fragment(run_every=page.draw_live_switch())
def draw_demographics() -> None:
    genders = ask_cassandra(user_queries.read_counts, "gender")
    ages = ask_cassandra(user_queries.read_cross_counts, "gender_age_band")
    generations = ask_cassandra(user_queries.read_counts, "generation")
    countries = ask_cassandra(user_queries.read_counts, "country_code")
    if not page.show_freshness("Cassandra", [genders, ages, generations, countries]):
        return
    if not genders.value:
        page.say_no_users()
        return
    left, right = st.columns(2)
    with left:
        draw_genders(genders.value)
        draw_generations(generations.value or {})
    with right:
        draw_ages(ages.value or {})
        draw_countries(countries.value or {})


def draw_genders(genders: charts.Counts) -> None:
    page.draw_figure(
        charts.plot_users_by_gender(genders), f"Donut chart of users by gender: {formatting.summarize_counts(genders)}."
    )
    st.caption("Users by gender, as the source reports it.")


def draw_ages(ages: charts.Pairs) -> None:
    bands: dict[str, int] = {}
    for (_, band), users in ages.items():
        bands[str(band)] = bands.get(str(band), 0) + users
    page.draw_figure(
        charts.plot_age_pyramid(ages),
        f"Population pyramid of users by age, men and women: {formatting.summarize_counts(bands)}.",
    )
    st.caption("Users by age in whole years when the record was fetched: men on the left, women on the right.")


def draw_generations(generations: charts.Counts) -> None:
    page.draw_figure(
        charts.plot_users_by_generation(generations),
        f"Bar chart of users by generation: {formatting.summarize_counts(generations)}.",
    )
    st.caption(
        "Users by generation, as the Pew Research Center defines them by year of birth: Greatest before 1928, "
        "Silent to 1945, Boomers to 1964, Gen X to 1980, Millennials to 1996, Gen Z to 2012, Alpha since."
    )


def draw_countries(countries: charts.Counts) -> None:
    figures.draw_users_by_country(countries)
    st.caption("Users by nationality, which is also the country of their address.")


draw_demographics()
