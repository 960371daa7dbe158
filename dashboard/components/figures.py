"""Figures that several pages draw, each with what it says in words."""

from datetime import UTC, datetime

import streamlit as st

from dashboard import charts
from dashboard.components import formatting, page
from dashboard.data import growth


def draw_registrations_by_month(months: charts.Counts) -> None:
    named = {growth.format_month(month): users for month, users in months.items()}
    page.draw_figure(
        charts.plot_registrations_by_month(months, f"{datetime.now(UTC):%Y-%m}"),
        f"Line of registrations by month from {growth.format_month(min(months))} "
        f"to {growth.format_month(max(months))}: {formatting.summarize_counts(named)}.",
    )
    st.caption("Users by the month in which they registered, in UTC; a dotted end is the month that still runs.")


def draw_users_by_country(countries: charts.Counts, where: str = "") -> None:
    """`where`: in words, if these are not all countries."""
    page.draw_figure(
        charts.plot_users_by_country(countries, page.COUNTRY_NAMES),
        f"Bars of users by country{where}: {formatting.summarize_counts(countries, page.COUNTRY_NAMES)}.",
    )
