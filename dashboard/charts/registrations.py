"""Figures of when the users registered."""

import plotly.graph_objects as go

from dashboard.charts.base import BLUE, GREEN, Counts, style


def registrations_by_year(counts: Counts) -> go.Figure:
    """Bars, one per year, years without a registration included."""
    years = _years(counts)
    figure = go.Figure(
        go.Bar(
            x=years,
            y=[counts.get(str(year), 0) for year in years],
            marker_color=GREEN,
            hovertemplate="%{x}: %{y:,} users<extra></extra>",
        )
    )
    return style(figure, "Registrations by year", x="year of registration", y="users").update_xaxes(type="category")


def registrations_by_month(counts: Counts) -> go.Figure:
    """A line, one point per month, months without a registration included."""
    months = _months(counts)
    figure = go.Figure(
        go.Scatter(
            x=months,
            y=[counts.get(month, 0) for month in months],
            mode="lines",
            line={"color": BLUE, "width": 2},
            hovertemplate="%{x|%B %Y}: %{y:,} users<extra></extra>",
        )
    )
    return style(figure, "Registrations by month", x="month of registration", y="users").update_yaxes(
        rangemode="tozero"
    )


def _years(counts: Counts) -> list[int]:
    years = [int(year) for year in counts]
    return list(range(min(years), max(years) + 1)) if years else []


def _months(counts: Counts) -> list[str]:
    """Each month from the first to the last, as `YYYY-MM`."""
    if not counts:
        return []
    first, last = (int(month[:4]) * 12 + int(month[5:7]) - 1 for month in (min(counts), max(counts)))
    return [f"{month // 12:04d}-{month % 12 + 1:02d}" for month in range(first, last + 1)]
