"""Figures of what was refused."""

import plotly.graph_objects as go

from dashboard.charts.base import VERMILION, Counts, escape, style


def quarantine_by_reason(counts: Counts) -> go.Figure:
    """Horizontal bars, the most frequent reason on top."""
    reasons = sorted(counts, key=lambda reason: (counts[reason], reason))
    figure = go.Figure(
        go.Bar(
            x=[counts[reason] for reason in reasons],
            y=[escape(reason) for reason in reasons],
            orientation="h",
            marker_color=VERMILION,
            hovertemplate="%{y}: %{x:,} records<extra></extra>",
        )
    )
    return style(figure, "Open quarantine by reason", x="records", height=max(220, 28 * len(reasons) + 110))
