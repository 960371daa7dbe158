"""The figures: counts in, a Plotly figure out. Text that comes from data is escaped, as Plotly reads tags in text."""

import html
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import plotly.graph_objects as go

from insights.countries import countries as known_countries

BLUE, ORANGE, GREEN, PINK, SKY, VERMILION = "#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00"
GENDER_COLOURS = {"female": ORANGE, "male": BLUE}
SEQUENTIAL = [[0.0, "#D6E8F5"], [0.5, "#4A9BD1"], [1.0, "#08406B"]]
GENERATIONS = ("Greatest", "Silent", "Boomers", "Gen X", "Millennials", "Gen Z", "Alpha")
"""Oldest first."""
Counts = Mapping[str, int]


class Point(NamedTuple):
    """A user on the map; degrees."""

    latitude: float
    longitude: float
    label: str
    plausible: bool
    """Whether the coordinates are near the country."""


class Batch(NamedTuple):
    """A micro-batch of the stream; seconds."""

    number: int
    started_at: datetime
    records: int
    merge_seconds: float
    """Until PostgreSQL had it."""
    serve_seconds: float | None
    """From then until Cassandra had it."""


def users_by_country(counts: Counts, names: Mapping[str, str]) -> go.Figure:
    """Horizontal bars, the largest country on top."""
    codes = sorted(counts, key=lambda code: (counts[code], code))
    figure = go.Figure(
        go.Bar(
            x=[counts[code] for code in codes],
            y=[_escape(names.get(code, code)) for code in codes],
            orientation="h",
            marker_color=BLUE,
            hovertemplate="%{y}: %{x:,} users<extra></extra>",
        )
    )
    return _style(figure, "Users by country", x="users", height=max(320, 20 * len(codes) + 90))


def users_by_gender(counts: Counts) -> go.Figure:
    """A donut with the total in its middle."""
    values = sorted(counts)
    figure = go.Figure(
        go.Pie(
            labels=[_escape(value) for value in values],
            values=[counts[value] for value in values],
            hole=0.55,
            sort=False,
            marker_colors=[GENDER_COLOURS.get(value, GREEN) for value in values],
            textinfo="label+percent",
            hovertemplate="%{label}: %{value:,} users (%{percent})<extra></extra>",
        )
    )
    figure.add_annotation(text=f"{sum(counts.values()):,}<br>users", showarrow=False, font_size=16)
    return _style(figure, "Users by gender").update_layout(showlegend=False)


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
    return _style(figure, "Registrations by year", x="year of registration", y="users").update_xaxes(type="category")


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
    return _style(figure, "Registrations by month", x="month of registration", y="users").update_yaxes(
        rangemode="tozero"
    )


def users_by_age_band(counts: Counts) -> go.Figure:
    """Bars from the youngest band to the oldest."""
    return _columns(counts, sorted(counts, key=_band_start), "Users by age band", "age in years", SKY)


def users_by_generation(counts: Counts) -> go.Figure:
    """Bars from the oldest generation to the youngest."""
    order = {name: position for position, name in enumerate(GENERATIONS)}
    names = sorted(counts, key=lambda name: (order.get(name, len(order)), name))
    return _columns(counts, names, "Users by generation", "generation", PINK)


def country_map(counts: Counts, names: Mapping[str, str]) -> go.Figure:
    """A choropleth; countries without users stay grey."""
    alpha3 = {code: country.alpha3 for code, country in known_countries().items()}
    codes = sorted(code for code in counts if code in alpha3)
    figure = go.Figure(
        go.Choropleth(
            locations=[alpha3[code] for code in codes],
            z=[counts[code] for code in codes],
            text=[_escape(names.get(code, code)) for code in codes],
            colorscale=SEQUENTIAL,
            zmin=0,
            marker_line_color="white",
            marker_line_width=0.5,
            colorbar={"title": "users", "thickness": 10, "len": 0.5, "orientation": "h", "y": -0.02, "yanchor": "top"},
            hovertemplate="%{text}: %{z:,} users<extra></extra>",
        )
    )
    return _world(figure, "Where users live")


def sample_map(points: Sequence[Point]) -> go.Figure:
    """The coordinates of a sample of users, those far from their country apart."""
    figure = go.Figure()
    for plausible, name, colour in ((True, "near the country", BLUE), (False, "far from the country", VERMILION)):
        group = [point for point in points if point.plausible is plausible]
        if group:
            figure.add_trace(
                go.Scattergeo(
                    lat=[point.latitude for point in group],
                    lon=[point.longitude for point in group],
                    text=[_escape(point.label) for point in group],
                    name=name,
                    mode="markers",
                    marker={"size": 5, "color": colour, "opacity": 0.7},
                    hovertemplate="%{text}<br>%{lat:.2f}°, %{lon:.2f}°<extra></extra>",
                )
            )
    legend = {"orientation": "h", "y": 0, "x": 0.5, "xanchor": "center", "yanchor": "top"}
    return _world(figure, "Coordinates of a sample").update_layout(showlegend=True, legend=legend)


def batch_durations(batches: Sequence[Batch]) -> go.Figure:
    """Seconds of each micro-batch, oldest first, by store."""
    ordered = sorted(batches, key=lambda batch: batch.started_at)
    numbers = [str(batch.number) for batch in ordered]
    records = [batch.records for batch in ordered]
    series: list[tuple[str, str, list[float | None]]] = [
        ("read and PostgreSQL", BLUE, [batch.merge_seconds for batch in ordered]),
        ("Cassandra and quarantine", ORANGE, [batch.serve_seconds for batch in ordered]),
    ]
    figure = go.Figure(
        [
            go.Bar(
                x=numbers,
                y=seconds,
                customdata=records,
                name=name,
                marker_color=colour,
                hovertemplate="batch %{x}, %{customdata:,} records: %{y:.2f} s<extra>" + name + "</extra>",
            )
            for name, colour, seconds in series
        ]
    )
    figure = _style(figure, "Duration of micro-batches", x="batch", y="seconds").update_xaxes(type="category")
    return figure.update_layout(barmode="stack", legend={"orientation": "h", "y": -0.3, "traceorder": "normal"})


def quarantine_by_reason(counts: Counts) -> go.Figure:
    """Horizontal bars, the most frequent reason on top."""
    reasons = sorted(counts, key=lambda reason: (counts[reason], reason))
    figure = go.Figure(
        go.Bar(
            x=[counts[reason] for reason in reasons],
            y=[_escape(reason) for reason in reasons],
            orientation="h",
            marker_color=VERMILION,
            hovertemplate="%{y}: %{x:,} records<extra></extra>",
        )
    )
    return _style(figure, "Open quarantine by reason", x="records", height=max(220, 28 * len(reasons) + 110))


def _columns(counts: Counts, values: Sequence[str], title: str, axis: str, colour: str) -> go.Figure:
    figure = go.Figure(
        go.Bar(
            x=[_escape(value) for value in values],
            y=[counts[value] for value in values],
            marker_color=colour,
            hovertemplate="%{x}: %{y:,} users<extra></extra>",
        )
    )
    return _style(figure, title, x=axis, y="users").update_xaxes(type="category")


def _world(figure: go.Figure, title: str) -> go.Figure:
    figure.update_geos(
        projection_type="natural earth",
        lataxis_range=[-58, 84],
        showland=True,
        landcolor="#D9D9D9",
        showcountries=True,
        countrycolor="white",
        showcoastlines=False,
        showframe=False,
        bgcolor="rgba(0,0,0,0)",
    )
    return _style(figure, title, height=400).update_layout(margin={"l": 0, "r": 0, "t": 48, "b": 8})


def _style(figure: go.Figure, title: str, height: int = 360, **axes: str) -> go.Figure:
    """`uirevision` keeps a reader's zoom when the numbers move."""
    figure.update_layout(
        title=title, height=height, margin={"l": 8, "r": 8, "t": 48, "b": 8}, bargap=0.25, uirevision="kept"
    )
    figure.update_xaxes(title=axes.get("x"), automargin=True)
    figure.update_yaxes(title=axes.get("y"), automargin=True)
    return figure


def _years(counts: Counts) -> list[int]:
    years = [int(year) for year in counts]
    return list(range(min(years), max(years) + 1)) if years else []


def _months(counts: Counts) -> list[str]:
    """Each month from the first to the last, as `YYYY-MM`."""
    if not counts:
        return []
    first, last = (int(month[:4]) * 12 + int(month[5:7]) - 1 for month in (min(counts), max(counts)))
    return [f"{month // 12:04d}-{month % 12 + 1:02d}" for month in range(first, last + 1)]


def _band_start(band: str) -> tuple[int, str]:
    number = re.match(r"\d+", band)
    return int(number.group()) if number else 0, band


def _escape(text: Any) -> str:
    return html.escape(str(text), quote=False)
