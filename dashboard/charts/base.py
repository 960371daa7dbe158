"""What every figure is made of: colours, its frame, and text that Plotly draws as text."""

import html
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from typing import Any, ParamSpec

import plotly.graph_objects as go
from streamlit.elements.lib.streamlit_plotly_theme import GRAY_90

P = ParamSpec("P")

BLUE, ORANGE, GREEN, PINK, SKY, VERMILION = "#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00"
"""Okabe and Ito's palette, which the colour-blind can tell apart (Color Universal Design, 2008)."""
SEQUENTIAL = [[0.0, "#C6E2F5"], [0.5, "#56B4E9"], [1.0, "#0072B2"]]
"""Few to many; both ends stand out from a light page and from a dark one."""
MUTED = "#949494"
"""For what is there to compare with; as all but orange and sky, at 3 to 1 or more with a light page and a dark one."""
KEPT_FIGURES = 8
LEGEND = {"orientation": "h", "y": -0.3, "traceorder": "normal"}
"""Below the figure."""
Counts = Mapping[str, int]


def cache_figures(build: Callable[P, go.Figure]) -> Callable[P, go.Figure]:
    """Keep the last figures: a live page mostly draws what it drew before, and Plotly takes its time to check one."""
    last: tuple[tuple[Any, go.Figure], ...] = ()

    @wraps(build)
    def figure(*args: P.args, **kwargs: P.kwargs) -> go.Figure:
        nonlocal last
        asked = (args, kwargs)
        for known, drawn in last:
            if known == asked:
                return drawn
        drawn = build(*args, **kwargs)
        last = ((asked, drawn), *last[: KEPT_FIGURES - 1])
        return drawn

    return figure


def apply_style(figure: go.Figure, title: str, height: int = 360, **axes: str) -> go.Figure:
    """`uirevision` keeps a reader's zoom while Streamlit keeps the figure; one of other numbers it draws anew."""
    figure.update_layout(
        title=title, height=height, margin={"l": 8, "r": 8, "t": 48, "b": 8}, bargap=0.25, uirevision="kept"
    )
    # Streamlit puts the theme's darker grey in this place: its usual one for axes is too pale to read (WCAG AA).
    axis = {"automargin": True, "separatethousands": True, "tickfont_color": GRAY_90, "title_font_color": GRAY_90}
    figure.update_xaxes(title_text=axes.get("x"), **axis).update_yaxes(title_text=axes.get("y"), **axis)
    return figure


def plot_columns(labels: Sequence[str], values: Sequence[int], title: str, axis: str, colour: str) -> go.Figure:
    """Upright bars of users, one for each label."""
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
    """Lying bars with their values, the first one on top; as high as they need."""
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
    """The values by their counts; of equals, the first by name."""
    return sorted(counts, key=lambda value: (-counts[value], value))


def escape_html(text: Any) -> str:
    return html.escape(str(text), quote=False)
