"""Figures of who the users are."""

from collections.abc import Iterable, Mapping, Sequence

import plotly.graph_objects as go

from dashboard.charts.base import (
    BLUE,
    GREEN,
    VERMILION,
    Counts,
    apply_style,
    cache_figures,
    escape_html,
    plot_bars,
    plot_columns,
    sort_by_count,
)
from insights.model.age_bands import BAND_NAMES

GENDER_COLOURS = {"female": VERMILION, "male": BLUE}
GENERATIONS = ("Greatest", "Silent", "Boomers", "Gen X", "Millennials", "Gen Z", "Alpha")
"""Oldest first."""
Pairs = Mapping[tuple[str | None, ...], int]
"""Users by two fields."""


@cache_figures
def plot_users_by_country(counts: Counts, names: Mapping[str, str]) -> go.Figure:
    """Plot horizontal bars, the largest country on top."""
    codes = sort_by_count(counts)
    return plot_bars(
        [names.get(code, code) for code in codes], [counts[code] for code in codes], "Users by country", BLUE
    )


@cache_figures
def plot_users_by_gender(counts: Counts) -> go.Figure:
    """Plot a donut with the total in its middle."""
    values = sorted(counts)
    figure = go.Figure(
        go.Pie(
            labels=[escape_html(value) for value in values],
            values=[counts[value] for value in values],
            hole=0.6,
            sort=False,
            marker_colors=[GENDER_COLOURS.get(value, GREEN) for value in values],
            texttemplate="%{label}<br>%{percent:.1%}",
            textposition="outside",
            hovertemplate="%{label}: %{value:,} users (%{percent})<extra></extra>",
        )
    )
    figure.add_annotation(text=f"{sum(counts.values()):,}<br>users", showarrow=False, font_size=16)
    return apply_style(figure, "Users by gender").update_layout(showlegend=False, margin={"t": 72, "b": 32})


@cache_figures
def plot_age_pyramid(counts: Pairs) -> go.Figure:
    """Plot users by (gender, age band): men on the left, women on the right, oldest on top, both on the same scale."""
    bands = sort_by_known_order({str(band) for _, band in counts}, BAND_NAMES)
    widest = 1.08 * max([*counts.values(), 1])
    sides = [("male", "x", [0, 0.5], [widest, 0]), ("female", "x2", [0.5, 1], [0, widest])]
    figure = go.Figure(
        [
            go.Bar(
                x=[counts.get((gender, band), 0) for band in bands],
                y=[escape_html(band) for band in bands],
                xaxis=axis,
                orientation="h",
                marker_color=GENDER_COLOURS[gender],
                hovertemplate=f"{gender}, %{{y}} years: %{{x:,}} users<extra></extra>",
            )
            for gender, axis, _, _ in sides
        ]
    )
    for _, axis, domain, reach in sides:
        layout = {"domain": domain, "range": reach, "nticks": 4, "anchor": "y"}
        figure.update_layout({axis.replace("x", "xaxis"): layout})
    apply_style(figure, "Users by age and gender", y="age in years").update_layout(showlegend=False, bargap=0.1)
    for gender, axis, _, _ in sides:
        figure.update_layout({f"{axis.replace('x', 'xaxis')}_title_text": f"{gender} users"})
    return figure.update_yaxes(type="category")


@cache_figures
def plot_users_by_generation(counts: Counts) -> go.Figure:
    """Plot bars from the oldest generation to the youngest."""
    names = sort_by_known_order(counts, GENERATIONS)
    return plot_columns(names, [counts[name] for name in names], "Users by generation", "generation", BLUE)


def sort_by_known_order(names: Iterable[str], known: Sequence[str]) -> list[str]:
    """Sort in the order of `known`, other names last."""
    order = {name: position for position, name in enumerate(known)}
    return sorted(names, key=lambda name: (order.get(name, len(order)), name))
