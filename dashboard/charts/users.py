"""Figures of who the users are."""

import re
from collections.abc import Mapping

import plotly.graph_objects as go

from dashboard.charts.base import BLUE, GREEN, ORANGE, PINK, SKY, Counts, columns, escape, style

GENDER_COLOURS = {"female": ORANGE, "male": BLUE}
GENERATIONS = ("Greatest", "Silent", "Boomers", "Gen X", "Millennials", "Gen Z", "Alpha")
"""Oldest first."""


def users_by_country(counts: Counts, names: Mapping[str, str]) -> go.Figure:
    """Horizontal bars, the largest country on top."""
    codes = sorted(counts, key=lambda code: (counts[code], code))
    figure = go.Figure(
        go.Bar(
            x=[counts[code] for code in codes],
            y=[escape(names.get(code, code)) for code in codes],
            orientation="h",
            marker_color=BLUE,
            hovertemplate="%{y}: %{x:,} users<extra></extra>",
        )
    )
    return style(figure, "Users by country", x="users", height=max(320, 20 * len(codes) + 90))


def users_by_gender(counts: Counts) -> go.Figure:
    """A donut with the total in its middle."""
    values = sorted(counts)
    figure = go.Figure(
        go.Pie(
            labels=[escape(value) for value in values],
            values=[counts[value] for value in values],
            hole=0.55,
            sort=False,
            marker_colors=[GENDER_COLOURS.get(value, GREEN) for value in values],
            textinfo="label+percent",
            hovertemplate="%{label}: %{value:,} users (%{percent})<extra></extra>",
        )
    )
    figure.add_annotation(text=f"{sum(counts.values()):,}<br>users", showarrow=False, font_size=16)
    return style(figure, "Users by gender").update_layout(showlegend=False)


def users_by_age_band(counts: Counts) -> go.Figure:
    """Bars from the youngest band to the oldest."""
    return columns(counts, sorted(counts, key=_band_start), "Users by age band", "age in years", SKY)


def users_by_generation(counts: Counts) -> go.Figure:
    """Bars from the oldest generation to the youngest."""
    order = {name: position for position, name in enumerate(GENERATIONS)}
    names = sorted(counts, key=lambda name: (order.get(name, len(order)), name))
    return columns(counts, names, "Users by generation", "generation", PINK)


def _band_start(band: str) -> tuple[int, str]:
    number = re.match(r"\d+", band)
    return int(number.group()) if number else 0, band
