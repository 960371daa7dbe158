"""Figures of when the users registered."""

from collections.abc import Mapping, Sequence

import plotly.graph_objects as go

from dashboard.charts.base import (
    GREEN,
    MUTED,
    SEQUENTIAL,
    Counts,
    apply_style,
    cache_figures,
    escape_html,
    plot_columns,
)
from dashboard.charts.users import GENERATIONS, Pairs, sort_by_known_order
from dashboard.data.growth import CountryGrowth, format_month, shift_month

WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
"""ISO 8601: Monday is 1."""


@cache_figures
def plot_registrations_by_year(counts: Counts) -> go.Figure:
    """Plot a bar per year, including years without registrations."""
    years = _list_years(counts)
    values = [counts.get(str(year), 0) for year in years]
    return plot_columns(
        [str(year) for year in years], values, "Registrations by year", "year of registration", GREEN
    ).update_xaxes(nticks=8)


@cache_figures
def plot_registrations_by_month(counts: Counts, current: str) -> go.Figure:
    """Plot a line with a point per month, including months without registrations; dotted up to the `current` month."""
    months = _list_months(counts)
    complete = [month for month in months if month < current]
    figure = go.Figure(
        [
            go.Scatter(
                x=part,
                y=[counts.get(month, 0) for month in part],
                mode="lines",
                line={"color": GREEN, "width": 2, "dash": dash},
                hovertemplate="%{x|%B %Y}: %{y:,} users<extra></extra>",
            )
            for part, dash in ((complete, "solid"), (months[max(0, len(complete) - 1) :], "dot"))
        ]
    )
    apply_style(figure, "Registrations by month", x="month of registration", y="users").update_yaxes(rangemode="tozero")
    return figure.update_layout(showlegend=False)


@cache_figures
def plot_registrations_by_weekday(counts: Counts) -> go.Figure:
    """Plot bars from Monday to Sunday."""
    values = [counts.get(str(day), 0) for day in range(1, 8)]
    return plot_columns(
        [day[:3] for day in WEEKDAYS], values, "Registrations by weekday", "weekday of registration", GREEN
    )


@cache_figures
def plot_cohorts(counts: Pairs) -> go.Figure:
    """Plot a heat map of (year, generation): each generation's share of a year's registrations, in percent."""
    years = [str(year) for year in _list_years({str(year): users for (year, _), users in counts.items()})]
    generations = sort_by_known_order({str(generation) for _, generation in counts}, GENERATIONS)
    totals = {year: sum(counts.get((year, generation), 0) for generation in generations) for year in years}
    users = [[counts.get((year, generation), 0) for year in years] for generation in generations]
    shares = [
        [100 * count / totals[year] if totals[year] else None for year, count in zip(years, row, strict=True)]
        for row in users
    ]
    figure = go.Figure(
        go.Heatmap(
            x=years,
            y=[escape_html(generation) for generation in generations],
            z=shares,
            customdata=users,
            colorscale=SEQUENTIAL,
            zmin=0,
            zmax=max([share or 0 for row in shares for share in row] or [100]),
            xgap=1,
            ygap=1,
            colorbar={"title": "% of the year", "thickness": 10},
            hovertemplate="%{x}, %{y}: %{z:.1f}% of the year, %{customdata:,} users<extra></extra>",
        )
    )
    apply_style(figure, "Registrations by year and generation", x="year of registration")
    figure.update_xaxes(type="category", nticks=12, tickangle=0)
    return figure.update_yaxes(type="category", autorange="reversed")


@cache_figures
def plot_growth_by_country(countries: Sequence[CountryGrowth], month: str, names: Mapping[str, str]) -> go.Figure:
    """Plot horizontal bars of the users who registered in the month, in front of wider ones for the month before."""
    labels = [escape_html(names.get(country.country_code, country.country_code)) for country in countries]
    series = [
        (shift_month(month, -1), [country.month_before for country in countries], MUTED, 0.8),
        (month, [country.users for country in countries], GREEN, 0.4),
    ]
    figure = go.Figure(
        [
            go.Bar(
                x=users,
                y=labels,
                orientation="h",
                name=format_month(registered),
                marker_color=colour,
                width=width,
                hovertemplate="%{y}: %{x:,} users<extra>" + format_month(registered) + "</extra>",
            )
            for registered, users, colour, width in series
        ]
    )
    apply_style(figure, "New users by country", x="users who registered in the month", height=24 * len(labels) + 130)
    figure.update_xaxes(nticks=5).update_yaxes(type="category", autorange="reversed")
    legend = {"orientation": "h", "y": 1, "yanchor": "bottom", "x": 0, "traceorder": "reversed"}
    return figure.update_layout(barmode="overlay", legend=legend, margin={"t": 76})


def _list_years(counts: Mapping[str, object]) -> list[int]:
    years = [int(year) for year in counts]
    return list(range(min(years), max(years) + 1)) if years else []


def _list_months(counts: Counts) -> list[str]:
    """Return each month from the first to the last, as `YYYY-MM`."""
    months = [min(counts)] if counts else []
    while months and months[-1] < max(counts):
        months.append(shift_month(months[-1], 1))
    return months
