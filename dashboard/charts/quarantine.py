"""Figures of rejected records."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from itertools import product

import plotly.graph_objects as go

from dashboard.charts.base import (
    BLUE,
    GREEN,
    LEGEND,
    ORANGE,
    PINK,
    SKY,
    VERMILION,
    Counts,
    apply_style,
    cache_figures,
    escape_html,
    plot_bars,
    sort_by_count,
)
from insights.model.reasons import Reason

_COLOURS = (VERMILION, BLUE, ORANGE, SKY, GREEN, PINK)
_FREQUENT = (
    Reason.SCHEMA,
    Reason.MISSING_ID,
    Reason.MISSING_FIELD,
    Reason.UNKNOWN_COUNTRY,
    Reason.BAD_EMAIL,
    Reason.BAD_DATE,
)
_RARE = tuple(reason for reason in Reason if reason not in _FREQUENT)
_HATCHINGS = ("", "/", "x")
_LOOKS: dict[str, tuple[str, str]] = {
    reason: (colour, hatching)
    for reason, (hatching, colour) in zip((*_FREQUENT, *_RARE), product(_HATCHINGS, _COLOURS), strict=False)
}
"""Colour and hatching of each reason, the same in every figure. There are more reasons than distinguishable colours."""
_OTHER = ("#7F7F7F", "")
_FORMAT = "%Y-%m-%d %H:%M"
_HEIGHT, _LEGEND_LINE = 340, 19
"""Pixels of the figure without its legend, and of a line of the legend, where two reasons fit on a narrow window."""


@cache_figures
def plot_quarantine_by_reason(counts: Counts) -> go.Figure:
    """Plot horizontal bars, the most frequent reason on top."""
    reasons = sort_by_count(counts)
    looks = [_LOOKS.get(reason, _OTHER) for reason in reasons]
    figure = plot_bars(
        reasons, [counts[reason] for reason in reasons], "Records in quarantine by reason", BLUE, "records"
    )
    return figure.update_traces(
        marker=_make_marker([colour for colour, _ in looks], [hatching for _, hatching in looks])
    )


@cache_figures
def plot_rejected_over_time(
    counts: Mapping[tuple[datetime, str], int], begin: datetime, end: datetime, step: timedelta
) -> go.Figure:
    """Plot bars from `begin` to `end` (UTC), stacked by reason; each starts at its instant and is `step` wide."""
    figure = go.Figure()
    present = {reason for _, reason in counts}
    for reason in [*(reason for reason in Reason if reason in present), *sorted(present - set(Reason))]:
        instants = sorted(instant for instant, other in counts if other == reason)
        figure.add_bar(
            x=[f"{instant:{_FORMAT}}" for instant in instants],
            y=[counts[instant, reason] for instant in instants],
            name=escape_html(reason),
            offset=0,
            width=step / timedelta(milliseconds=1),
            marker=_make_marker(*_LOOKS.get(reason, _OTHER)),
            hovertemplate=f"from %{{x|%d %b %H:%M}}: %{{y:,}} records<extra>{escape_html(reason)}</extra>",
        )
    interval = "day" if step == timedelta(days=1) else "hour"
    # The legend has as many lines as a narrow window needs, and lies on whatever is below the axis but its labels.
    height = _HEIGHT + _LEGEND_LINE * max(1, len(present) // 2)
    figure = apply_style(figure, f"Rejected records by {interval} (UTC)", height, y="records")
    figure.update_xaxes(type="date", range=[f"{begin:{_FORMAT}}", f"{end:{_FORMAT}}"])
    figure.update_yaxes(rangemode="tozero")
    return figure.update_layout(barmode="stack", bargap=0, showlegend=True, legend=LEGEND | {"yanchor": "top"})


def _make_marker(colour: str | list[str], hatching: str | list[str]) -> dict[str, object]:
    pattern = {"shape": hatching, "bgcolor": colour, "fgcolor": "white", "size": 6, "solidity": 0.3}
    return {"color": colour, "pattern": pattern}
