"""Figures that several pages draw."""

from datetime import UTC, datetime

import streamlit as st

from dashboard import charts
from dashboard.components import formatting, page
from dashboard.data import growth


def draw_registrations_by_month(months: charts.Counts) -> None:
    named = {growth.format_month(month): users for month, users in months.items()}
    page.draw_figure(
        charts.plot_registrations_by_month(months, f"{datetime.now(UTC):%Y-%m}"),
        f"Line chart of registrations by month from {growth.format_month(min(months))} "
        f"to {growth.format_month(max(months))}: {formatting.summarize_counts(named)}.",
    )
    st.caption("Users by month of registration, in UTC. A dotted end is the current month, which is incomplete.")


def draw_users_by_country(countries: charts.Counts, place: str = "") -> None:
    """`place`: where these countries are, such as ` in Europe`; empty for all countries."""
    page.draw_figure(
        charts.plot_users_by_country(countries, page.COUNTRY_NAMES),
        f"Bar chart of users by country{place}: {formatting.summarize_counts(countries, page.COUNTRY_NAMES)}.",
    )
