"""The last micro-batches and DAG runs, in the form that figures and tables take."""

from collections.abc import Sequence
from typing import Any

from dashboard.charts import BatchDuration, BatchLatency
from insights.clients.airflow import DagRun
from insights.queries import pipeline

_STATE_NAMES = {"success": "succeeded"}


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
    """Convert the batches that are delivered and had new users."""
    return [
        BatchLatency(batch.batch_id, batch.served_at, batch.latency_p50, batch.latency_p95, batch.latency_p99)
        for batch in batches
        if batch.served_at and batch.latency_p50 is not None and batch.latency_p95 is not None
        if batch.latency_p99 is not None
    ]


def join_runs(dag_runs: Sequence[DagRun], ingest_runs: Sequence[pipeline.IngestRun]) -> list[dict[str, Any]]:
    """Join Airflow's runs with the pages that they staged; runs that Airflow does not list follow at the end."""
    rows_by_run = {run.run_id: run._asdict() for run in ingest_runs}
    rows = [
        rows_by_run.pop(run.run_id, {}) | {"run_id": run.run_id, "state": name_state(run), "started_at": run.started_at}
        for run in dag_runs
    ]
    return rows + list(rows_by_run.values())


def name_state(run: DagRun) -> str:
    """Return the run's state as the pages print it."""
    return _STATE_NAMES.get(run.state, run.state)


def format_seconds(duration: float) -> str:
    """Return `0.35 s`, `12.3 s` or `4.5 min`."""
    if duration < 10:
        return f"{duration:.2f} s"
    return f"{duration:.1f} s" if duration < 120 else f"{duration / 60:,.1f} min"
