"""Metrics, liveness and readiness of the stream."""

import time
from collections.abc import Callable
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, Metric, generate_latest
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from insights.model.message import make_traceparent
from insights.sinks.latencies import BOUNDS, BucketOfUsers
from insights.sinks.micro_batch import DeliveredBatch
from insights.stream.executors import ExecutorState
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

EXECUTOR = ExecutorState("2", 4, 1, 20, 3, 4.5, 0.5, 600, 700, 8000, 9000)
WAITING = EXECUTOR._replace(task_slots=0, completed_tasks=0, failed_tasks=0)
LONG = BucketOfUsers(len(BOUNDS), 3, 15_000.0, 6000.0, "last")


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
        metrics.record_batch(DeliveredBatch(number, 7, 2, {"postgres": 0.5}, []))
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


@pytest.mark.parametrize(
    ("report", "counts"),
    [
        (lambda metrics: metrics.record_batch(DeliveredBatch(3, 7, 2, {}, [])), True),
        (lambda metrics: metrics.record_progress(PROGRESS), True),
        (lambda metrics: metrics.record_idle(), True),
        (lambda metrics: metrics.record_executors([EXECUTOR]), True),
        (lambda metrics: metrics.record_start(), False),
        (
            lambda metrics: metrics.record_executors([WAITING]),
            False,
        ),
    ],
    ids=["batch", "progress", "idle", "ended tasks", "start", "no executor"],
)
def test_a_start_or_a_wait_for_executors_is_not_a_report(report: Callable[[StreamMetrics], None], counts: bool) -> None:
    metrics = StreamMetrics()
    before = time.time()
    report(metrics)
    reported = metrics.registry.get_sample_value("insights_stream_reported_timestamp_seconds")
    assert reported is not None
    assert (reported >= before) if counts else (reported == 0)


def test_latencies_are_a_histogram_with_the_trace_of_a_page_as_exemplar() -> None:
    metrics = StreamMetrics()
    metrics.record_batch(DeliveredBatch(3, 5, 0, {}, [BucketOfUsers(0, 2, 0.7, 0.4, "first"), LONG]))
    metrics.record_latencies([BucketOfUsers(0, 1, 0.3, 0.3, None)])
    [histogram] = [
        family for family in read_openmetrics(metrics.registry) if family.name == "insights_stream_latency_seconds"
    ]
    assert histogram.type == "histogram"
    buckets = {sample.labels["le"]: sample for sample in histogram.samples if sample.name.endswith("_bucket")}
    assert list(map(float, buckets)) == [*BOUNDS, float("inf")]
    assert [buckets[bound].value for bound in ("0.5", "1.0", "3600.0", "+Inf")] == [3, 3, 3, 6]
    assert {sample.name[-5:]: sample.value for sample in histogram.samples[-2:]} == {"count": 6, "s_sum": 15_001.0}
    traces = {
        bound: (sample.exemplar.labels, sample.exemplar.value) for bound, sample in buckets.items() if sample.exemplar
    }
    assert traces == {"0.5": (trace_of("first"), 0.4), "+Inf": (trace_of("last"), 6000.0)}


def test_only_the_executors_that_were_last_read_have_metrics() -> None:
    metrics = StreamMetrics()
    metrics.record_executors([EXECUTOR._replace(executor_id="1"), EXECUTOR])
    metrics.record_executors([EXECUTOR])
    samples = {
        (sample.name.removeprefix("insights_stream_executor_"), *sample.labels.values()): sample.value
        for family in read_openmetrics(metrics.registry)
        for sample in family.samples
        if sample.name.startswith("insights_stream_executor_")
    }
    assert samples == {
        ("active_tasks", "2"): 1,
        ("completed_tasks_total", "2"): 20,
        ("failed_tasks_total", "2"): 3,
        ("task_seconds_total", "2"): 4.5,
        ("gc_seconds_total", "2"): 0.5,
        ("shuffle_read_bytes_total", "2"): 600,
        ("shuffle_written_bytes_total", "2"): 700,
        ("peak_memory_bytes", "2", "heap"): 8000,
        ("peak_memory_bytes", "2", "non_heap"): 9000,
    }


def read_openmetrics(registry: CollectorRegistry) -> list[Metric]:
    return list(text_string_to_metric_families(openmetrics.generate_latest(registry).decode()))


def trace_of(page: str) -> dict[str, str]:
    return {"trace_id": make_traceparent(page, "any row").split("-")[1]}


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


DRIVER = ExecutorState("driver", 0, 0, 0, 0, 0.0, 0.0, 0, 0, 0, 0)


@pytest.mark.parametrize(
    ("before", "after", "alive"),
    [
        ([DRIVER, EXECUTOR], [DRIVER, EXECUTOR], False),
        ([DRIVER, EXECUTOR], [DRIVER, EXECUTOR._replace(completed_tasks=21)], True),
        ([DRIVER, EXECUTOR], [DRIVER, EXECUTOR._replace(failed_tasks=4)], True),
        ([DRIVER], [DRIVER], True),
        ([DRIVER, EXECUTOR], [DRIVER], True),
        ([DRIVER._replace(task_slots=2)], [DRIVER._replace(task_slots=2)], False),
        ([], [], False),
    ],
    ids=["idle", "task", "failed task", "no executor", "lost executor", "idle local mode", "no JVM"],
)
def test_a_silent_query_is_alive_while_tasks_end_or_executors_are_awaited(
    before: list[ExecutorState], after: list[ExecutorState], alive: bool
) -> None:
    clock = Clock()
    metrics = StreamMetrics(clock)
    metrics.record_executors(before)
    clock.now = SILENCE_SECONDS + 1
    metrics.record_executors(after)
    assert (metrics.check_liveness() is None) is alive


def test_the_stream_is_ready_from_the_start_of_its_query_to_its_end() -> None:
    metrics = StreamMetrics()
    assert (metrics.check_liveness(), metrics.check_readiness()) == (None, "the query has not started")
    ProgressListener(metrics).onQueryStarted(None)
    assert metrics.check_readiness() is None
    metrics.record_termination("the query ended: boom")
    assert metrics.check_readiness() == "the query ended: boom"
