"""Figures of where the users live."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import plotly.graph_objects as go

from dashboard.charts.base import (
    BLUE,
    SEQUENTIAL,
    VERMILION,
    Counts,
    apply_style,
    cache_figures,
    escape_html,
    plot_bars,
    sort_by_count,
)
from insights.model.countries import load_countries

NOT_GIVEN = "not given"


class MapPoint(NamedTuple):
    """A user on the map, with coordinates in degrees."""

    latitude: float
    longitude: float
    label: str
    plausible: bool
    """Whether the coordinates are near the country."""


@cache_figures
def plot_country_map(counts: Counts, names: Mapping[str, str]) -> go.Figure:
    """Plot a choropleth; countries without users stay grey."""
    alpha3 = {code: country.alpha3 for code, country in load_countries().items()}
    codes = sorted(code for code in counts if code in alpha3)
    figure = go.Figure(
        go.Choropleth(
            locations=[alpha3[code] for code in codes],
            z=[counts[code] for code in codes],
            text=[escape_html(names.get(code, code)) for code in codes],
            colorscale=SEQUENTIAL,
            zmin=0,
            zmax=max([*counts.values(), 1]),
            marker_line_color="rgba(128, 128, 128, 0.8)",
            marker_line_width=0.5,
            colorbar={"title": {"text": "users", "side": "right"}, "thickness": 10, "len": 0.7},
            hovertemplate="%{text}: %{z:,} users<extra></extra>",
        )
    )
    return _apply_world_style(figure, "Where users live")


@cache_figures
def plot_sample_map(points: Sequence[MapPoint]) -> go.Figure:
    """Plot the coordinates of a sample of users; those far from their country are a series of their own."""
    figure = go.Figure()
    for plausible, name, colour in ((False, "far from the country", VERMILION), (True, "near the country", BLUE)):
        group = [point for point in points if point.plausible is plausible]
        if group:
            figure.add_trace(
                go.Scattergeo(
                    lat=[point.latitude for point in group],
                    lon=[point.longitude for point in group],
                    text=[escape_html(point.label) for point in group],
                    name=name,
                    mode="markers",
                    marker={"size": 5, "color": colour, "opacity": 0.85},
                    hovertemplate="%{text}<br>%{lat:.2f}°, %{lon:.2f}°<extra></extra>",
                )
            )
    legend = {"orientation": "h", "y": 0, "x": 0.5, "xanchor": "center", "yanchor": "top"}
    return _apply_world_style(figure, "Coordinates of a sample of users").update_layout(showlegend=True, legend=legend)


@cache_figures
def plot_users_by_region(counts: Counts) -> go.Figure:
    """Plot horizontal bars by the United Nations' sub-regions, the largest on top."""
    regions = sort_by_count(counts)
    return plot_bars(regions, [counts[region] for region in regions], "Users by region", BLUE)


@cache_figures
def plot_users_by_city(counts: Sequence[tuple[str | None, int]], country: str) -> go.Figure:
    """Plot horizontal bars in the given order; a city is None where the source gave none."""
    labels = [NOT_GIVEN if city is None else city for city, _ in counts]
    return plot_bars(labels, [users for _, users in counts], f"Cities in {escape_html(country)}", BLUE)


def _apply_world_style(figure: go.Figure, title: str) -> go.Figure:
    figure.update_geos(
        projection_type="natural earth",
        lataxis_range=[-58, 84],
        showland=True,
        landcolor="rgba(128, 128, 128, 0.25)",
        showcountries=True,
        countrycolor="rgba(128, 128, 128, 0.35)",
        showcoastlines=False,
        showframe=False,
        bgcolor="rgba(0,0,0,0)",
    )
    return apply_style(figure, title, height=380).update_layout(margin={"l": 0, "r": 0, "t": 48, "b": 8})
