"""Metrics and health of the stream, for Prometheus and the probes."""

import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge
from pyspark.sql.streaming import StreamingQueryListener

from insights.sinks.latencies import BucketOfUsers
from insights.sinks.micro_batch import DeliveredBatch
from insights.stream.executors import ExecutorMetrics, ExecutorState
from insights.stream.latency_histogram import LatencyHistogram

SILENCE_SECONDS = 180
"""The longest silence of a live query. Spark reports an idle query every 10 seconds, and a long batch ends tasks."""


class StreamMetrics:
    """Metrics of the stream, its liveness (`/healthz`) and its readiness (`/readyz`)."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.registry = CollectorRegistry()
        self._clock = clock
        self._last_report = clock()
        self._ended_tasks = 0
        self._started = False
        self._termination: str | None = None
        self._input = self._make_gauge(
            "input_rows_per_second", "Messages that arrived per second, for the last micro-batch"
        )
        self._processed = self._make_gauge(
            "processed_rows_per_second", "Messages processed per second while the last micro-batch ran"
        )
        self._duration = self._make_gauge("batch_seconds", "Duration of the last micro-batch")
        self._stages = self._make_gauge("stage_seconds", "Duration of each stage of the last micro-batch", "stage")
        self._lag = self._make_gauge(
            "kafka_lag", "Messages on the broker after the last micro-batch", "topic", "partition"
        )
        self._batch = self._make_gauge("last_batch_id", "Number of the last micro-batch delivered to every sink")
        self._delivered_at = self._make_gauge(
            "last_served_timestamp_seconds", "When the last micro-batch was delivered to every sink"
        )
        self._reported_at = self._make_gauge(
            "reported_timestamp_seconds", "When the stream last showed progress, or that it had nothing to do"
        )
        self._records = Counter(
            "records",
            "Records processed, by verdict: accepted or rejected",
            ["verdict"],
            "insights",
            "stream",
            registry=self.registry,
        )
        for verdict in ("accepted", "rejected"):
            self._records.labels(verdict)

        self._latency = LatencyHistogram()
        self._executors = ExecutorMetrics()
        for collector in (self._latency, self._executors):
            self.registry.register(collector)

    def record_batch(self, batch: DeliveredBatch) -> None:
        """Record a batch that every sink has."""
        self._note_report()
        self._batch.set(batch.number)
        self._delivered_at.set_to_current_time()
        self._records.labels("accepted").inc(batch.accepted)
        self._records.labels("rejected").inc(batch.rejected)
        for step, seconds in batch.seconds.items():
            self._stages.labels(step).set(seconds)
        self.record_latencies(batch.latencies)

    def record_latencies(self, latencies: Sequence[BucketOfUsers]) -> None:
        """Record the latencies of users that every sink has."""
        self._latency.add(latencies)

    def record_executors(self, executors: Sequence[ExecutorState]) -> None:
        """Record what the executors have done; of others nothing is known from then on.

        A query that reports nothing is alive while tasks end, or while no executor is there to run them: a first batch
        can take long, and so can a node that is added for an executor. A new driver would begin with the same wait.
        """
        self._executors.replace(executors)
        ended = sum(one.completed_tasks + one.failed_tasks for one in executors)
        if executors and ended != self._ended_tasks:
            self._note_report()
        elif executors and not any(one.task_slots for one in executors):
            self._last_report = self._clock()
        self._ended_tasks = ended

    def record_progress(self, progress: Mapping[str, Any]) -> None:
        """Record Spark's report of a micro-batch, a parsed `StreamingQueryProgress`."""
        self._note_report()
        durations = progress.get("durationMs", {})
        self._input.set(_to_finite(progress.get("inputRowsPerSecond")))
        self._processed.set(_to_finite(progress.get("processedRowsPerSecond")))
        self._duration.set(durations.get("triggerExecution", 0) / 1000)
        for stage, milliseconds in durations.items():
            self._stages.labels(stage).set(milliseconds / 1000)
        for source in progress.get("sources", []):
            for (topic, partition), lag in compute_kafka_lag(source).items():
                self._lag.labels(topic, partition).set(lag)

    def record_idle(self) -> None:
        """Record that the stream is alive, although it has delivered nothing."""
        self._note_report()

    def record_start(self) -> None:
        """Record that the query has started."""
        self._started = True
        self._last_report = self._clock()

    def record_termination(self, reason: str) -> None:
        """Record that the query has terminated."""
        self._termination = reason

    def check_liveness(self) -> str | None:
        """Return why the stream is not alive, or None if it is."""
        silence = self._clock() - self._last_report
        if self._termination:
            return self._termination
        return f"no progress report for {silence:.0f} seconds" if silence > SILENCE_SECONDS else None

    def check_readiness(self) -> str | None:
        """Return why the stream is not ready, or None if it is."""
        return self.check_liveness() or (None if self._started else "the query has not started")

    def _note_report(self) -> None:
        self._last_report = self._clock()
        self._reported_at.set_to_current_time()

    def _make_gauge(self, name: str, description: str, *labels: str) -> Gauge:
        return Gauge(name, description, labels, namespace="insights", subsystem="stream", registry=self.registry)


class ProgressListener(StreamingQueryListener):  # type: ignore[misc]
    """Passes Spark's reports of its queries to the metrics."""

    def __init__(self, metrics: StreamMetrics) -> None:
        self._metrics = metrics

    def onQueryStarted(self, event: Any) -> None:  # noqa: N802, ARG002
        self._metrics.record_start()

    def onQueryProgress(self, event: Any) -> None:  # noqa: N802
        self._metrics.record_progress(json.loads(event.progress.json))

    def onQueryIdle(self, event: Any) -> None:  # noqa: N802, ARG002
        self._metrics.record_idle()

    def onQueryTerminated(self, event: Any) -> None:  # noqa: N802
        self._metrics.record_termination(f"the query ended: {event.exception or 'stopped'}")


def compute_kafka_lag(source: Mapping[str, Any]) -> dict[tuple[str, str], int]:
    """Return the number of messages between a source's progress and the end offset, by topic and partition."""
    end, latest = (_parse_offsets(source.get(name)) for name in ("endOffset", "latestOffset"))
    return {
        (topic, partition): max(0, offset - end.get(topic, {}).get(partition, 0))
        for topic, partitions in latest.items()
        for partition, offset in partitions.items()
    }


def _parse_offsets(text: Any) -> dict[str, dict[str, int]]:
    parsed = json.loads(text) if isinstance(text, str) else text
    return parsed if isinstance(parsed, dict) else {}


def _to_finite(number: Any) -> float:
    return float(number) if isinstance(number, (int, float)) and math.isfinite(number) else 0.0
