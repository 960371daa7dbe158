"""What every figure is made of: colours, its frame, and text that Plotly draws as text."""

import html
from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

BLUE, ORANGE, GREEN, PINK, SKY, VERMILION = "#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00"
"""Okabe and Ito's palette, which the colour-blind can tell apart (Color Universal Design, 2008)."""
Counts = Mapping[str, int]


def style(figure: go.Figure, title: str, height: int = 360, **axes: str) -> go.Figure:
    """`uirevision` keeps a reader's zoom when the numbers move."""
    figure.update_layout(
        title=title, height=height, margin={"l": 8, "r": 8, "t": 48, "b": 8}, bargap=0.25, uirevision="kept"
    )
    figure.update_xaxes(title=axes.get("x"), automargin=True)
    figure.update_yaxes(title=axes.get("y"), automargin=True)
    return figure


def columns(counts: Counts, values: Sequence[str], title: str, axis: str, colour: str) -> go.Figure:
    figure = go.Figure(
        go.Bar(
            x=[escape(value) for value in values],
            y=[counts[value] for value in values],
            marker_color=colour,
            hovertemplate="%{x}: %{y:,} users<extra></extra>",
        )
    )
    return style(figure, title, x=axis, y="users").update_xaxes(type="category")


def escape(text: Any) -> str:
    return html.escape(str(text), quote=False)
