"""What every figure uses: colours, layout, bars, and escaped text."""

import html
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from typing import Any, ParamSpec

import plotly.graph_objects as go
from streamlit.elements.lib.streamlit_plotly_theme import GRAY_90

P = ParamSpec("P")

BLUE, ORANGE, GREEN, PINK, SKY, VERMILION = "#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00"
"""Okabe and Ito's palette, which is safe for colour-blind readers (Color Universal Design, 2008)."""
SEQUENTIAL = [[0.0, "#C6E2F5"], [0.5, "#56B4E9"], [1.0, "#0072B2"]]
"""From few to many; both ends are visible on a light and on a dark background."""
MUTED = "#949494"
"""For comparisons. Like all colours except orange and sky, it has a contrast of at least 3:1 in both themes."""
CACHED_FIGURES = 8
LEGEND = {"orientation": "h", "y": -0.3, "traceorder": "normal"}
"""Places the legend below the figure."""
Counts = Mapping[str, int]


def cache_figures(build: Callable[P, go.Figure]) -> Callable[P, go.Figure]:
    """Cache the last figures: a live page mostly draws the same ones again, and Plotly is slow to validate a figure."""
    cache: tuple[tuple[Any, go.Figure], ...] = ()

    @wraps(build)
    def build_or_reuse(*args: P.args, **kwargs: P.kwargs) -> go.Figure:
        nonlocal cache
        arguments = (args, kwargs)
        for cached_arguments, figure in cache:
            if cached_arguments == arguments:
                return figure
        figure = build(*args, **kwargs)
        cache = ((arguments, figure), *cache[: CACHED_FIGURES - 1])
        return figure

    return build_or_reuse


def apply_style(figure: go.Figure, title: str, height: int = 360, **axes: str) -> go.Figure:
    """Set title, height and axis titles (`x`, `y`). `uirevision` keeps a zoom while Streamlit keeps the figure."""
    figure.update_layout(
        title=title, height=height, margin={"l": 8, "r": 8, "t": 48, "b": 8}, bargap=0.25, uirevision="kept"
    )
    # Streamlit maps this grey to a darker one of the theme; its default for axes is too pale to read (WCAG AA).
    axis = {"automargin": True, "separatethousands": True, "tickfont_color": GRAY_90, "title_font_color": GRAY_90}
    figure.update_xaxes(title_text=axes.get("x"), **axis).update_yaxes(title_text=axes.get("y"), **axis)
    return figure


def plot_columns(labels: Sequence[str], values: Sequence[int], title: str, axis: str, colour: str) -> go.Figure:
    """Plot vertical bars of users, one per label."""
    figure = go.Figure(
        go.Bar(
            x=[escape_html(label) for label in labels],
            y=list(values),
            marker_color=colour,
            hovertemplate="%{x}: %{y:,} users<extra></extra>",
        )
    )
    return apply_style(figure, title, x=axis, y="users").update_xaxes(type="category", tickangle=0)


def plot_bars(labels: Sequence[str], values: Sequence[int], title: str, colour: str, unit: str = "users") -> go.Figure:
    """Plot horizontal bars with their values, the first on top. The height depends on their number."""
    figure = go.Figure(
        go.Bar(
            x=list(values),
            y=[escape_html(label) for label in labels],
            orientation="h",
            marker_color=colour,
            texttemplate="%{x:,}",
            textfont_color=GRAY_90,
            textposition="outside",
            cliponaxis=False,
            hovertemplate="%{y}: %{x:,} " + unit + "<extra></extra>",
        )
    )
    apply_style(figure, title, x=unit, height=max(200, 22 * len(labels) + 100))
    figure.update_xaxes(range=[0, 1.25 * max([*values, 1])], nticks=5)
    return figure.update_yaxes(type="category", autorange="reversed")


def sort_by_count(counts: Counts) -> list[str]:
    """Sort the values by descending count, then by name."""
    return sorted(counts, key=lambda value: (-counts[value], value))


def escape_html(text: Any) -> str:
    return html.escape(str(text), quote=False)
