"""Metrics, liveness and readiness of the stream."""

from typing import Any

from prometheus_client import generate_latest

from insights.sinks.micro_batch import DeliveredBatch
from insights.stream.metrics import SILENCE_SECONDS, ProgressListener, StreamMetrics, compute_kafka_lag

PROGRESS: dict[str, Any] = {
    "batchId": 3,
    "inputRowsPerSecond": float("nan"),
    "processedRowsPerSecond": 12.5,
    "durationMs": {"triggerExecution": 1500, "addBatch": 1200},
    "sources": [
        {"endOffset": '{"users.raw": {"0": 10, "1": 4}}', "latestOffset": '{"users.raw": {"0": 25, "1": 4, "2": 7}}'}
    ],
}


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_lag_is_counted_from_the_batch_to_the_end_offset_of_each_partition() -> None:
    source = PROGRESS["sources"][0]
    assert compute_kafka_lag(source) == {("users.raw", "0"): 15, ("users.raw", "1"): 0, ("users.raw", "2"): 7}
    assert compute_kafka_lag({"endOffset": None, "latestOffset": None}) == {}


def test_metrics_show_the_last_batch_and_the_totals() -> None:
    metrics = StreamMetrics()
    for number in (3, 4):
        metrics.record_batch(DeliveredBatch(number, 7, 2, {"postgres": 0.5}))
    metrics.record_progress(PROGRESS)
    text = generate_latest(metrics.registry).decode()
    assert "insights_stream_last_batch_id 4.0" in text
    assert 'insights_stream_records_total{verdict="accepted"} 14.0' in text
    assert 'insights_stream_records_total{verdict="rejected"} 4.0' in text
    assert 'insights_stream_stage_seconds{stage="postgres"} 0.5' in text
    assert 'insights_stream_stage_seconds{stage="addBatch"} 1.2' in text
    assert 'insights_stream_kafka_lag{partition="0",topic="users.raw"} 15.0' in text
    assert "insights_stream_batch_seconds 1.5" in text
    assert "insights_stream_input_rows_per_second 0.0" in text


def test_a_silent_or_terminated_query_is_not_alive_and_an_idle_one_is() -> None:
    clock = Clock()
    metrics = StreamMetrics(clock)
    clock.now = SILENCE_SECONDS
    assert metrics.check_liveness() is None
    clock.now += 1
    assert metrics.check_liveness() == "no progress report for 181 seconds"
    metrics.record_idle()
    assert metrics.check_liveness() is None
    metrics.record_termination("the query ended: boom")
    metrics.record_idle()
    assert metrics.check_liveness() == "the query ended: boom"


def test_the_stream_is_ready_from_the_start_of_its_query_to_its_end() -> None:
    metrics = StreamMetrics()
    assert (metrics.check_liveness(), metrics.check_readiness()) == (None, "the query has not started")
    ProgressListener(metrics).onQueryStarted(None)
    assert metrics.check_readiness() is None
    metrics.record_termination("the query ended: boom")
    assert metrics.check_readiness() == "the query ended: boom"
