"""When the users registered."""

import streamlit as st

from dashboard import charts, page
from dashboard.stores import ask_cassandra, refresh_seconds
from insights.serve import queries

page.begin("Registrations")


@st.fragment(run_every=refresh_seconds())
def registrations() -> None:
    years = ask_cassandra(queries.counts, "registered_year")
    months = ask_cassandra(queries.counts, "registered_month")
    if not page.answered("Cassandra", [years, months]):
        return
    if not years.value:
        page.no_users()
        return
    page.draw(charts.registrations_by_year(years.value), "Bars of registrations by year")
    page.draw(charts.registrations_by_month(months.value or {}), "Line of registrations by month")


registrations()
