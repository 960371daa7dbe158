"""Figures of arrivals."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

import plotly.graph_objects as go

from dashboard.charts.base import BLUE, MUTED, apply_style, cache_figures


class MinuteArrivals(NamedTuple):
    """How many users arrived in the minute that begins at `minute`."""

    minute: datetime
    users: int


@cache_figures
def plot_arrivals_per_minute(minutes: Sequence[MinuteArrivals]) -> go.Figure:
    """Plot bars, oldest first; the last one, of the current minute, is pale."""
    figure = go.Figure(
        go.Bar(
            x=[arrivals.minute for arrivals in minutes],
            y=[arrivals.users for arrivals in minutes],
            marker_color=[BLUE] * (len(minutes) - 1) + [MUTED] * bool(minutes),
            hovertemplate="%{x|%H:%M} UTC: %{y:,} users<extra></extra>",
        )
    )
    apply_style(figure, "Arrivals per minute", x="minute (UTC)", y="users").update_layout(bargap=0.1)
    return figure.update_xaxes(tickformat="%H:%M").update_yaxes(rangemode="tozero")
