"""Metrics and liveness of the stream."""

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


def test_lag_is_what_the_broker_has_beyond_the_batch_for_each_partition() -> None:
    source = PROGRESS["sources"][0]
    assert compute_kafka_lag(source) == {("users.raw", "0"): 15, ("users.raw", "1"): 0, ("users.raw", "2"): 7}
    assert compute_kafka_lag({"endOffset": None, "latestOffset": None}) == {}


def test_metrics_tell_the_last_batch_and_the_totals() -> None:
    metrics = StreamMetrics()
    for number in (3, 4):
        metrics.served(DeliveredBatch(number, 7, 2, {"postgres": 0.5}))
    metrics.progressed(PROGRESS)
    text = generate_latest(metrics.registry).decode()
    assert "insights_stream_last_batch_id 4.0" in text
    assert 'insights_stream_records_total{verdict="accepted"} 14.0' in text
    assert 'insights_stream_records_total{verdict="rejected"} 4.0' in text
    assert 'insights_stream_stage_seconds{stage="postgres"} 0.5' in text
    assert 'insights_stream_stage_seconds{stage="addBatch"} 1.2' in text
    assert 'insights_stream_kafka_lag{partition="0",topic="users.raw"} 15.0' in text
    assert "insights_stream_batch_seconds 1.5" in text
    assert "insights_stream_input_rows_per_second 0.0" in text


def test_a_silent_or_dead_query_is_in_trouble_and_an_idle_one_is_not() -> None:
    clock = Clock()
    metrics = StreamMetrics(clock)
    clock.now = SILENCE_SECONDS
    assert metrics.trouble() is None
    clock.now += 1
    assert metrics.trouble() == "no sign of life for 181 seconds"
    metrics.idle()
    assert metrics.trouble() is None
    metrics.died("the query ended: boom")
    metrics.idle()
    assert metrics.trouble() == "the query ended: boom"


def test_the_stream_is_ready_once_its_query_runs_and_until_it_is_in_trouble() -> None:
    metrics = StreamMetrics()
    assert (metrics.trouble(), metrics.unready()) == (None, "the query has not started")
    ProgressListener(metrics).onQueryStarted(None)
    assert metrics.unready() is None
    metrics.died("the query ended: boom")
    assert metrics.unready() == "the query ended: boom"
