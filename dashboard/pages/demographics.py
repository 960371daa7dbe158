"""Who the users are: gender, age and generation."""

import streamlit as st

from dashboard import charts, page
from dashboard.stores import ask_cassandra, refresh_seconds
from insights.serve import queries

page.begin("Demographics")


@st.fragment(run_every=refresh_seconds())
def demographics() -> None:
    genders = ask_cassandra(queries.counts, "gender")
    bands = ask_cassandra(queries.counts, "age_band")
    generations = ask_cassandra(queries.counts, "generation")
    if not page.answered("Cassandra", [genders, bands, generations]):
        return
    if not genders.value:
        page.no_users()
        return
    page.draw(charts.users_by_gender(genders.value), "Donut of users by gender")
    left, right = st.columns(2)
    with left:
        page.draw(charts.users_by_age_band(bands.value or {}), "Bars of users by age band")
    with right:
        page.draw(charts.users_by_generation(generations.value or {}), "Bars of users by generation")


demographics()
