"""Deliver a micro-batch to every sink: PostgreSQL, whose merge is authoritative, Cassandra, then the quarantine topic.

After a crash between any two steps, every step may run again: the merge recognises the batch, and the other writes are
idempotent.
"""

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache

import pyarrow as pa
from confluent_kafka import Producer
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.storagelevel import StorageLevel

from insights import failpoints
from insights.clients import connections
from insights.clients.tracing import Spans
from insights.model.quarantine import Refusal
from insights.settings import KafkaSettings
from insights.sinks import delivery, postgres, quarantine_topic
from insights.sinks.accepted_rows import AcceptedRows
from insights.sinks.batch_contents import COLLECTED_BYTES, BatchContents, RejectedRecords
from insights.sinks.checkpoint_offsets import read_batch_offsets
from insights.sinks.latencies import BucketOfUsers
from insights.sinks.outcomes import collect_outcomes
from insights.sinks.stores import Stores

_COMMIT_POLL_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class TransformOutputs:
    """The outputs of the transformation in `insights.stream`: what became of each message, and quarantine records.

    The latter are the records that a rule rejects, or those that a sink refuses, given by their origins, and are
    selected from the transformed messages.
    """

    outcomes: Callable[[DataFrame], DataFrame]
    transformed: Callable[[DataFrame], DataFrame]
    rejected: Callable[[DataFrame], DataFrame]
    refused: Callable[[DataFrame, Mapping[str, Refusal]], DataFrame]


@dataclass(frozen=True, slots=True)
class DeliveredBatch:
    """A micro-batch that every sink has: its batch id, its records, the seconds of each step, and the latencies."""

    number: int
    accepted: int
    rejected: int
    seconds: Mapping[str, float]
    latencies: Sequence[BucketOfUsers]


class MicroBatchSink:
    """The function for `foreachBatch`: transforms a micro-batch and delivers it to every sink.

    The producer of the quarantine topic is made on first use and kept. Each batch is written to Cassandra within
    the context of `delivering`, called with its sequence number, which ends before PostgreSQL records the delivery;
    `on_delivered` is called after that. `check_topic` is called when a batch has been read: its error keeps the
    batch, which may be of another topic, from being merged.
    """

    def __init__(
        self,
        outputs: TransformOutputs,
        stores: Stores,
        kafka: KafkaSettings,
        checkpoint: str,
        on_delivered: Callable[[DeliveredBatch], None],
        check_topic: Callable[[], None],
        delivering: Callable[[int], AbstractContextManager[None]],
        spans: Spans,
    ) -> None:
        self._outputs, self._stores, self._kafka, self._checkpoint = outputs, stores, kafka, checkpoint
        self._on_delivered, self._check_topic, self._spans = on_delivered, check_topic, spans
        self._delivering = delivering
        self._producer: Producer | None = None
        self._running = threading.Lock()
        self._stopped = False
        self._last_delivered = -1
        self.failure: Exception | None = None
        """The error that ended the query; Spark keeps only its text."""

    def __call__(self, batch: DataFrame, number: int) -> None:
        """Deliver the batch with the id `number`.

        Raises:
            RuntimeError: `stop()` has been called.
        """
        with self._running:
            if self._stopped:
                raise RuntimeError(f"batch {number} was not started: the stream is stopping")
            try:
                self._deliver(batch, number)
            except Exception as error:
                self.failure = error
                raise
            self._last_delivered = number

    def stop(self) -> None:
        """Wait for the running batch and accept no other."""
        with self._running:
            self._stopped = True

    def wait_committed(self, last_committed: Callable[[], int], seconds: float) -> None:
        """Wait, at most `seconds`, until Spark has committed the last delivered batch to the checkpoint."""
        deadline = time.monotonic() + seconds
        while last_committed() < self._last_delivered and time.monotonic() < deadline:
            time.sleep(_COMMIT_POLL_SECONDS)

    def _deliver(self, batch: DataFrame, number: int) -> None:
        failpoints.reach("batch.started")
        started_at = datetime.now(UTC)
        timer = _StepTimer(self._spans.step)
        spark = batch.sparkSession
        offsets = read_batch_offsets(spark, self._checkpoint, number)
        batch_id = postgres.MicroBatchId(read_query_id(spark), number, offsets, started_at)
        accepted, collected, has_large = collect_outcomes(self._outputs.outcomes(batch))
        self._check_topic()
        transform = cache(lambda: self._outputs.transformed(batch))
        try:
            large = None
            if has_large:
                transform().persist(StorageLevel.DISK_ONLY)
                large = self._outputs.rejected(transform()).where(F.octet_length("payload") > COLLECTED_BYTES)
            rejected = RejectedRecords(collected, large)
            contents = BatchContents(
                batch_id,
                accepted,
                rejected,
                lambda refusals: RejectedRecords(
                    remaining=self._outputs.refused(transform(), refusals) if refusals else None
                ),
            )
            with self._spans.batch("micro-batch", _iterate_pages(accepted, collected), started_at) as attributes:
                timer.finish("transform")
                merged, latencies = self._write(contents, timer)
                attributes |= {"insights.accepted": merged.accepted, "insights.rejected": merged.rejected}
        finally:
            if has_large:
                transform().unpersist()
        self._on_delivered(DeliveredBatch(number, merged.accepted, merged.rejected, timer.seconds, latencies))

    def _write(self, batch: BatchContents, timer: "_StepTimer") -> tuple[postgres.MergeResult, Sequence[BucketOfUsers]]:
        """Write the batch to every sink, and mark it as delivered. Returns the latencies of what that delivered."""
        merged = delivery.merge(self._stores, batch)
        timer.finish("postgres")
        with self._delivering(merged.seq):
            merged = delivery.write_cassandra(self._stores, batch, merged)
            timer.finish("cassandra")
            self._write_quarantine_topic(batch.rejected)
            self._write_quarantine_topic(batch.quarantine(merged.refusals))
            failpoints.reach("batch.copied")
            timer.finish("quarantine")
        latencies = self._stores.with_postgres(lambda connection: postgres.mark_delivered(connection, batch.id))
        timer.finish("mark")
        return merged, latencies

    def _write_quarantine_topic(self, rejected: postgres.RejectedPortions) -> None:
        for records in rejected:
            self._producer = self._producer or connections.make_kafka_producer(self._kafka, "stream")
            quarantine_topic.produce_copies(self._producer, self._kafka.quarantine_topic, records)


def read_query_id(spark: SparkSession) -> str:
    """The id, from its checkpoint, of the streaming query that runs on this thread.

    Raises:
        RuntimeError: no streaming query runs on this thread.
    """
    query_id: str | None = spark.sparkContext.getLocalProperty("sql.streaming.queryId")
    if not query_id:
        raise RuntimeError("there is no streaming query on this thread")
    return query_id


def _iterate_pages(accepted: AcceptedRows, rejected: pa.Table | None) -> Iterator[str | None]:
    yield from accepted.iterate_batch_ids()
    if rejected is not None:
        yield from rejected["batch_id"].unique().to_pylist()


class _StepTimer:
    """The duration of each step in seconds; a step starts when the previous one finishes, which is reported."""

    def __init__(self, report: Callable[[str, float], None]) -> None:
        self.seconds: dict[str, float] = {}
        self._report = report
        self._started = time.monotonic()

    def finish(self, step: str) -> None:
        now = time.monotonic()
        self.seconds[step], self._started = now - self._started, now
        self._report(step, self.seconds[step])
