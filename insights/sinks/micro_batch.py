"""Deliver a micro-batch to every sink: PostgreSQL, whose merge is authoritative, Cassandra, then the quarantine topic.

After a crash between any two steps, every step may run again: the merge recognises the batch, and the other writes are
idempotent.
"""

import threading
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeVar

import psycopg2
from cassandra.cluster import Session
from confluent_kafka import Producer
from psycopg2.extensions import connection as PgConnection
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.storagelevel import StorageLevel

from insights import failpoints
from insights.clients import connections
from insights.clients.retry import retry_until_ready
from insights.errors import UserError
from insights.model.quarantine import Refusal
from insights.settings import CassandraSettings, KafkaSettings, PostgresSettings, StreamSettings
from insights.sinks import delivery, postgres, quarantine_topic
from insights.sinks.batch_contents import COLLECTED_BYTES, BatchContents, RejectedRecords, split_outcomes
from insights.sinks.cassandra import CassandraWriter
from insights.sinks.checkpoint_offsets import read_batch_offsets
from insights.sinks.store_errors import is_postgres_outage

T = TypeVar("T")

OUTAGE_SECONDS = 90.0
"""How long a batch waits for a store that does not answer. A new start of the stream takes about as long."""
MAX_PAUSE_SECONDS = 2.0
_COMMIT_POLL_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class TransformOutputs:
    """The outputs of the transformation in `insights.stream`: what became of each message, and quarantine records.

    The latter are the records that a rule rejects, or those that a sink refuses, given by their origins.
    """

    outcomes: Callable[[DataFrame, int], DataFrame]
    rejected: Callable[[DataFrame], DataFrame]
    refused: Callable[[DataFrame, Mapping[str, Refusal]], DataFrame]


@dataclass(frozen=True, slots=True)
class DeliveredBatch:
    """A micro-batch that every sink has: its batch id, its records, and the seconds of each step."""

    number: int
    accepted: int
    rejected: int
    seconds: Mapping[str, float]


class MicroBatchSink:
    """The function for `foreachBatch`: delivers a transformed micro-batch to every sink.

    Connects on first use and keeps the connections. `on_delivered` is called after each delivered batch. `check_topic`
    is called when a batch has been read: its error keeps the batch, which may be of another topic, from being merged.
    """

    def __init__(
        self,
        outputs: TransformOutputs,
        stream: StreamSettings,
        postgres_settings: PostgresSettings,
        cassandra_settings: CassandraSettings,
        kafka: KafkaSettings,
        on_delivered: Callable[[DeliveredBatch], None],
        check_topic: Callable[[], None],
    ) -> None:
        self._outputs, self._stream = outputs, stream
        self._on_delivered, self._check_topic = on_delivered, check_topic
        self._postgres_settings, self._cassandra_settings, self._kafka = postgres_settings, cassandra_settings, kafka
        self._connection: PgConnection | None = None
        self._cassandra: tuple[Session, CassandraWriter] | None = None
        self._producer: Producer | None = None
        self._running = threading.Lock()
        self._stopped = False
        self._last_delivered = -1
        self._resources = ExitStack()
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

    def close(self) -> None:
        """Close the connections. No batch may be running."""
        self._resources.close()
        if self._connection is not None:
            self._connection.close()

    def wait_committed(self, last_committed: Callable[[], int], seconds: float) -> None:
        """Wait, at most `seconds`, until Spark has committed the last delivered batch to the checkpoint."""
        deadline = time.monotonic() + seconds
        while last_committed() < self._last_delivered and time.monotonic() < deadline:
            time.sleep(_COMMIT_POLL_SECONDS)

    def with_postgres(self, work: Callable[[PgConnection], T]) -> T:
        """Run idempotent `work` on the open connection; after an outage, again on a new one.

        A server that accepts no connection, as during a restart, is retried like one that closed it. Any other error,
        such as one about the rows, is raised at once.
        """
        deadline, pause = time.monotonic() + OUTAGE_SECONDS, 0.25
        while True:
            try:
                if self._connection is None:
                    self._connection = connections.connect_postgres(self._postgres_settings, "stream")
                return work(self._connection)
            except (psycopg2.Error, UserError) as error:
                if isinstance(error, psycopg2.Error) and not is_postgres_outage(error):
                    raise
                if self._connection is not None:
                    self._connection.close()
                    self._connection = None
                if time.monotonic() > deadline:
                    raise
                time.sleep(pause)
                pause = min(2 * pause, MAX_PAUSE_SECONDS)

    def connect_cassandra(self) -> tuple[Session, CassandraWriter]:
        """The session and the writer on it, opened on first use."""
        if self._cassandra is None:
            session = retry_until_ready(
                "Cassandra",
                lambda: self._resources.enter_context(connections.open_cassandra(self._cassandra_settings)),
                time.monotonic() + OUTAGE_SECONDS,
            )
            writer = CassandraWriter(
                session, in_flight=self._stream.cassandra_in_flight, batch_rows=self._stream.cassandra_batch_rows
            )
            self._cassandra = session, writer
        return self._cassandra

    def _deliver(self, batch: DataFrame, number: int) -> None:
        failpoints.reach("batch.started")
        started_at = datetime.now(UTC)
        timer = _StepTimer()
        spark = batch.sparkSession
        offsets = read_batch_offsets(spark, self._stream.checkpoint, number)
        batch_id = postgres.MicroBatchId(read_query_id(spark), number, offsets, started_at)
        accepted, collected, has_large = split_outcomes(self._outputs.outcomes(batch, COLLECTED_BYTES).toArrow())
        self._check_topic()
        try:
            large = None
            if has_large:
                batch.persist(StorageLevel.DISK_ONLY)
                large = self._outputs.rejected(batch).where(F.octet_length("payload") > COLLECTED_BYTES)
            rejected = RejectedRecords(collected, large)
            contents = BatchContents(
                batch_id,
                accepted,
                rejected,
                lambda refusals: RejectedRecords(
                    remaining=self._outputs.refused(batch, refusals) if refusals else None
                ),
            )
            timer.finish("transform")
            merged = delivery.merge(self, contents)
            timer.finish("postgres")
            merged = delivery.write_cassandra(self, contents, merged)
            timer.finish("cassandra")
            self._write_quarantine_topic(rejected)
            self._write_quarantine_topic(contents.quarantine(merged.refusals))
            failpoints.reach("batch.copied")
            timer.finish("quarantine")
        finally:
            if has_large:
                batch.unpersist()
        self.with_postgres(lambda connection: postgres.mark_delivered(connection, batch_id))
        timer.finish("mark")
        self._on_delivered(DeliveredBatch(number, merged.accepted, merged.rejected, timer.seconds))

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


class _StepTimer:
    """The duration of each step in seconds; a step starts when the previous one finishes."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._started = time.monotonic()

    def finish(self, step: str) -> None:
        now = time.monotonic()
        self.seconds[step], self._started = now - self._started, now
