"""What the stream tells Prometheus and whoever restarts what hangs."""

import json
import math
import time
from collections.abc import Callable, Mapping
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge
from pyspark.sql.streaming import StreamingQueryListener

from insights.sinks.micro_batch import DeliveredBatch

SILENCE_SECONDS = 180
"""The longest that a live query says nothing: Spark reports an idle one every 10 seconds; a full batch takes longer."""


class StreamMetrics:
    """What the stream has done, and whether it is alive (`/healthz`) and at work (`/readyz`)."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.registry = CollectorRegistry()
        self._clock = clock
        self._heard = clock()
        self._started = False
        self._dead: str | None = None
        self._input = self._gauge("input_rows_per_second", "Messages arriving per second, of the last micro-batch")
        self._processed = self._gauge("processed_rows_per_second", "Messages processed per second while a batch ran")
        self._duration = self._gauge("batch_seconds", "Duration of the last micro-batch")
        self._stages = self._gauge("stage_seconds", "Duration of each stage of the last micro-batch", "stage")
        self._lag = self._gauge("kafka_lag", "Messages on the broker beyond the last micro-batch", "topic", "partition")
        self._batch = self._gauge("last_batch_id", "Number of the last micro-batch that every sink has")
        self._served_at = self._gauge("last_served_timestamp_seconds", "When the last micro-batch was in every sink")
        self._records = Counter(
            "records", "Records judged, by verdict", ["verdict"], "insights", "stream", registry=self.registry
        )
        for verdict in ("accepted", "rejected"):
            self._records.labels(verdict)

    def served(self, batch: DeliveredBatch) -> None:
        """Note a batch that every sink has."""
        self._heard = self._clock()
        self._batch.set(batch.number)
        self._served_at.set_to_current_time()
        self._records.labels("accepted").inc(batch.accepted)
        self._records.labels("rejected").inc(batch.rejected)
        for step, seconds in batch.seconds.items():
            self._stages.labels(step).set(seconds)

    def progressed(self, progress: Mapping[str, Any]) -> None:
        """Note what Spark reports of a micro-batch (the JSON of its `StreamingQueryProgress`)."""
        self._heard = self._clock()
        durations = progress.get("durationMs", {})
        self._input.set(_finite(progress.get("inputRowsPerSecond")))
        self._processed.set(_finite(progress.get("processedRowsPerSecond")))
        self._duration.set(durations.get("triggerExecution", 0) / 1000)
        for stage, milliseconds in durations.items():
            self._stages.labels(stage).set(milliseconds / 1000)
        for source in progress.get("sources", []):
            for (topic, partition), lag in compute_kafka_lag(source).items():
                self._lag.labels(topic, partition).set(lag)

    def idle(self) -> None:
        """Note that the query lives and has nothing to read."""
        self._heard = self._clock()

    def started(self) -> None:
        """Note that the query runs."""
        self._started = True
        self._heard = self._clock()

    def died(self, reason: str) -> None:
        """Note that the query has ended."""
        self._dead = reason

    def trouble(self) -> str | None:
        """Why the stream is not alive; None if it is."""
        silence = self._clock() - self._heard
        if self._dead:
            return self._dead
        return f"no sign of life for {silence:.0f} seconds" if silence > SILENCE_SECONDS else None

    def unready(self) -> str | None:
        """Why the stream does no work; None if it does."""
        return self.trouble() or (None if self._started else "the query has not started")

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(name, text, labels, namespace="insights", subsystem="stream", registry=self.registry)


class ProgressListener(StreamingQueryListener):  # type: ignore[misc]
    """Passes what Spark reports of its queries on to the metrics."""

    def __init__(self, metrics: StreamMetrics) -> None:
        self._metrics = metrics

    def onQueryStarted(self, event: Any) -> None:  # noqa: N802, ARG002
        self._metrics.started()

    def onQueryProgress(self, event: Any) -> None:  # noqa: N802
        self._metrics.progressed(json.loads(event.progress.json))

    def onQueryIdle(self, event: Any) -> None:  # noqa: N802, ARG002
        self._metrics.idle()

    def onQueryTerminated(self, event: Any) -> None:  # noqa: N802
        self._metrics.died(f"the query ended: {event.exception or 'stopped'}")


def compute_kafka_lag(source: Mapping[str, Any]) -> dict[tuple[str, str], int]:
    """Per topic and partition, the messages between a source's progress and the broker's end."""
    end, latest = (_offsets(source.get(name)) for name in ("endOffset", "latestOffset"))
    return {
        (topic, partition): max(0, offset - end.get(topic, {}).get(partition, 0))
        for topic, partitions in latest.items()
        for partition, offset in partitions.items()
    }


def _offsets(text: Any) -> dict[str, dict[str, int]]:
    parsed = json.loads(text) if isinstance(text, str) else text
    return parsed if isinstance(parsed, dict) else {}


def _finite(number: Any) -> float:
    return float(number) if isinstance(number, (int, float)) and math.isfinite(number) else 0.0
