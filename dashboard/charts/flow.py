"""Figures of the flow."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

import plotly.graph_objects as go

from dashboard.charts.base import BLUE, GREEN, LEGEND, PINK, VERMILION, apply_style, cache_figures, escape_html

TICKS = 10


class BatchDuration(NamedTuple):
    """How long a micro-batch of the stream took, in seconds."""

    number: int
    started_at: datetime
    records: int
    merge_seconds: float
    """From its start until it was merged into PostgreSQL."""
    deliver_seconds: float | None
    """From the merge until Cassandra had it; None if it does not have it yet."""


class BatchLatency(NamedTuple):
    """Seconds from the fetch of a batch's new users until Cassandra had them, at three percentiles."""

    number: int
    delivered_at: datetime
    p50: float
    p95: float
    p99: float


class PartitionLoad(NamedTuple):
    """How many messages of a partition the stream has read, and how many it has not."""

    partition: int
    read: int
    unread: int


@cache_figures
def plot_batch_durations(batches: Sequence[BatchDuration]) -> go.Figure:
    """Plot the duration of each micro-batch, oldest first, by store.

    Bars are placed by their order, not by batch number: a new checkpoint numbers batches from 0 again.
    """
    ordered = sorted(batches, key=lambda batch: batch.started_at)
    positions = range(len(ordered))
    batch_details = [(batch.number, batch.records) for batch in ordered]
    series: list[tuple[str, str, list[float | None]]] = [
        ("read and merge into PostgreSQL", BLUE, [batch.merge_seconds for batch in ordered]),
        ("write to Cassandra and quarantine", PINK, [batch.deliver_seconds for batch in ordered]),
    ]
    figure = go.Figure(
        [
            go.Bar(
                x=list(positions),
                y=seconds,
                customdata=batch_details,
                name=name,
                marker_color=colour,
                hovertemplate="batch %{customdata[0]}, %{customdata[1]:,} records: %{y:.2f} s<extra>"
                + name
                + "</extra>",
            )
            for name, colour, seconds in series
        ]
    )
    labelled = positions[:: max(1, -(-len(ordered) // TICKS))]
    figure = apply_style(figure, "Micro-batch duration", x="batch", y="seconds").update_xaxes(
        tickvals=list(labelled), ticktext=[f"{ordered[position].number}" for position in labelled]
    )
    return figure.update_layout(barmode="stack", legend=LEGEND)


@cache_figures
def plot_batch_latencies(batches: Sequence[BatchLatency], logarithmic: bool = False) -> go.Figure:
    """Plot a line per percentile, over the time at which the batches were delivered."""
    ordered = sorted(batches, key=lambda batch: batch.delivered_at)
    numbers = [batch.number for batch in ordered]
    series = [
        ("p50", GREEN, "circle", [batch.p50 for batch in ordered]),
        ("p95", BLUE, "square", [batch.p95 for batch in ordered]),
        ("p99", VERMILION, "diamond", [batch.p99 for batch in ordered]),
    ]
    figure = go.Figure(
        [
            go.Scatter(
                x=[batch.delivered_at for batch in ordered],
                y=seconds,
                customdata=numbers,
                name=name,
                mode="lines+markers",
                line={"color": colour},
                marker={"symbol": symbol, "size": 7},
                hovertemplate="batch %{customdata}, %{x|%H:%M:%S}: %{y:.2f} s<extra>" + name + "</extra>",
            )
            for name, colour, symbol, seconds in series
        ]
    )
    figure = apply_style(figure, "End-to-end latency by batch", x="delivered at (UTC)", y="seconds")
    if logarithmic:
        figure.update_yaxes(type="log", dtick="D1", ticksuffix=" s")
    else:
        figure.update_yaxes(rangemode="tozero", ticksuffix=" s")
    return figure.update_layout(legend=LEGEND)


@cache_figures
def plot_partition_load(topic: str, partitions: Sequence[PartitionLoad]) -> go.Figure:
    """Plot a bar per partition of the topic: messages that the stream has read, and those waiting for it."""
    ordered = sorted(partitions)
    series = [
        ("read by the stream", BLUE, [part.read for part in ordered]),
        ("waiting for the stream", VERMILION, [part.unread for part in ordered]),
    ]
    figure = go.Figure(
        [
            go.Bar(
                x=values,
                y=[f"{part.partition}" for part in ordered],
                orientation="h",
                name=name,
                marker_color=colour,
                hovertemplate="partition %{y}: %{x:,} messages<extra>" + name + "</extra>",
            )
            for name, colour, values in series
        ]
    )
    title, height = f"Messages in {escape_html(topic)}", 150 + 30 * len(ordered)
    figure = apply_style(figure, title, height=height, x="messages", y="partition").update_yaxes(
        type="category", autorange="reversed"
    )
    return figure.update_layout(barmode="stack", legend=LEGEND | {"y": -90 / height})
