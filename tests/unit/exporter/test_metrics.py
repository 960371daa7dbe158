"""The exporter's metrics: what a measurement shows, and what an outage leaves."""

import math
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from insights.exporter.measurement import Measurement
from insights.exporter.metrics import FlowMetrics
from insights.ledger.flow_state import FlowState
from insights.ledger.history import RecordedCheck
from insights.ledger.hops import LedgerState
from insights.probes import MAX_HEARTBEAT_AGE_SECONDS
from insights.queries.pipeline import HopTotals, LatencyPercentiles

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
CHECK = RecordedCheck(NOON, LedgerState.BROKEN, 2.5, {"served": 3}, NOON)
MEASURED = Measurement(
    totals=HopTotals(10, 9, 1, 8, 7, 1, NOON, NOON),
    in_flight=FlowState(unpublished=1, unread=2, undelivered=3, overdue=1, last_batch=4),
    staged_at=NOON,
    newest_record=NOON,
    latency=LatencyPercentiles(0.5, 1.5, 2.5, 7),
    quarantined={"INVALID_EMAIL": 1},
    rejected={"INVALID_EMAIL": 2},
    check=CHECK,
)


@pytest.fixture
def clock() -> list[float]:
    return [0.0]


@pytest.fixture
def metrics(clock: list[float]) -> FlowMetrics:
    return FlowMetrics(lambda: clock[0])


def value(metrics: FlowMetrics, name: str, **labels: str) -> float | None:
    found: float | None = metrics.registry.get_sample_value(f"insights_flow_{name}", labels)
    return found


def test_a_measurement_is_exported(metrics: FlowMetrics) -> None:
    metrics.record(MEASURED, kafka_answered=True)
    assert [value(metrics, "records", hop=hop) for hop in ("fetched", "staged", "published", "served")] == [10, 9, 8, 7]
    assert [value(metrics, name) for name in ("unpublished_rows", "unread_messages", "undelivered_batches")] == [
        1,
        2,
        3,
    ]
    assert value(metrics, "overdue_batches") == 1
    for name in ("staged", "delivered", "newest_record", "checked", "fully_checked"):
        assert value(metrics, f"{name}_timestamp_seconds") == NOON.timestamp(), name
    assert value(metrics, "latency_seconds", percentile="95") == 1.5
    assert value(metrics, "quarantined_records", reason="INVALID_EMAIL") == 1
    assert value(metrics, "rejected_records", reason="INVALID_EMAIL") == 2
    assert value(metrics, "rejected_records", reason="TOO_LARGE") == 0
    assert [value(metrics, "ledger_state", state=state) for state in ("broken", "closed", "in_flight")] == [1, 0, 0]
    assert value(metrics, "ledger_open_records", hop="served") == 3
    assert value(metrics, "check_seconds") == 2.5
    assert (value(metrics, "measured_timestamp_seconds") or 0) > NOON.timestamp()


def test_a_hop_that_holds_again_is_not_exported_any_more(metrics: FlowMetrics) -> None:
    metrics.record(MEASURED, kafka_answered=True)
    metrics.record(replace(MEASURED, check=CHECK._replace(open_records={})), kafka_answered=True)
    assert value(metrics, "ledger_open_records", hop="served") is None


def test_what_is_not_known_is_not_a_number(metrics: FlowMetrics) -> None:
    assert math.isnan(value(metrics, "checked_timestamp_seconds") or 0)
    metrics.record(replace(MEASURED, check=None, newest_record=None, latency=None), kafka_answered=False)
    for name in ("unread_messages", "checked_timestamp_seconds", "newest_record_timestamp_seconds"):
        assert math.isnan(value(metrics, name) or 0), name
    assert math.isnan(value(metrics, "ledger_state", state="closed") or 0)


def test_without_postgresql_nothing_is_known(metrics: FlowMetrics) -> None:
    assert metrics.explain_readiness_failure() == "PostgreSQL has not answered"
    metrics.record(MEASURED, kafka_answered=True)
    assert metrics.explain_readiness_failure() is None
    measured_at = value(metrics, "measured_timestamp_seconds")
    metrics.record_failure("postgres")
    assert value(metrics, "measurement_failures_total", store="postgres") == 1
    assert value(metrics, "records", hop="served") is None
    assert math.isnan(value(metrics, "unpublished_rows") or 0)
    assert value(metrics, "measured_timestamp_seconds") == measured_at
    assert metrics.explain_readiness_failure() == "PostgreSQL has not answered"


def test_an_outage_of_kafka_is_counted_and_hides_nothing_else(metrics: FlowMetrics) -> None:
    metrics.record(MEASURED, kafka_answered=True)
    metrics.record_failure("kafka")
    assert value(metrics, "measurement_failures_total", store="kafka") == 1
    assert value(metrics, "records", hop="served") == 7


def test_an_exporter_without_progress_is_not_alive(metrics: FlowMetrics, clock: list[float]) -> None:
    assert metrics.explain_liveness_failure() is None
    clock[0] = MAX_HEARTBEAT_AGE_SECONDS + 5
    assert metrics.explain_liveness_failure() == "no progress for 125 s"
    metrics.record_heartbeat()
    assert metrics.explain_liveness_failure() is None
