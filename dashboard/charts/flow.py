"""Figures of the flow."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

import plotly.graph_objects as go

from dashboard.charts.base import BLUE, ORANGE, style


class Batch(NamedTuple):
    """A micro-batch of the stream; seconds."""

    number: int
    started_at: datetime
    records: int
    merge_seconds: float
    """Until PostgreSQL had it."""
    serve_seconds: float | None
    """From then until Cassandra had it."""


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
    figure = style(figure, "Duration of micro-batches", x="batch", y="seconds").update_xaxes(type="category")
    return figure.update_layout(barmode="stack", legend={"orientation": "h", "y": -0.3, "traceorder": "normal"})
