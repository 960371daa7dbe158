"""The last batches and runs, as figures and tables take them."""

from collections.abc import Sequence
from typing import Any

from dashboard.charts import BatchDuration, BatchLatency
from insights.clients.airflow import DagRun
from insights.queries import pipeline

STATES = {"queued": "queued", "running": "running", "success": "succeeded", "failed": "failed"}


def to_batch_durations(batches: Sequence[pipeline.BatchSummary]) -> list[BatchDuration]:
    return [
        BatchDuration(
            batch.batch_id,
            batch.started_at,
            batch.read,
            (batch.merged_at - batch.started_at).total_seconds(),
            (batch.served_at - batch.merged_at).total_seconds() if batch.served_at else None,
        )
        for batch in batches
    ]


def to_batch_latencies(batches: Sequence[pipeline.BatchSummary]) -> list[BatchLatency]:
    """Of the batches that are served and had new users."""
    return [
        BatchLatency(batch.batch_id, batch.served_at, batch.latency_p50, batch.latency_p95, batch.latency_p99)
        for batch in batches
        if batch.served_at and batch.latency_p50 is not None and batch.latency_p95 is not None
        if batch.latency_p99 is not None
    ]


def join_runs(told: Sequence[DagRun], landed: Sequence[pipeline.IngestRun]) -> list[dict[str, Any]]:
    """Airflow's runs with the pages that they landed; then runs that landed pages and Airflow does not tell of."""
    pages = {run.run_id: run._asdict() for run in landed}
    rows = [
        pages.pop(run.run_id, {})
        | {"run_id": run.run_id, "state": STATES.get(run.state, run.state), "started_at": run.started_at}
        for run in told
    ]
    return rows + list(pages.values())


def format_seconds(duration: float) -> str:
    """`0.35 s`, `12.3 s`, `4.5 min`."""
    if duration < 10:
        return f"{duration:.2f} s"
    return f"{duration:.1f} s" if duration < 120 else f"{duration / 60:,.1f} min"
