"""Deliver a micro-batch to every sink: PostgreSQL, whose merge is authoritative, Cassandra, then the quarantine topic.

After a crash between any two steps, every step may run again: the merge recognises the batch, and the other writes are
idempotent.
"""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import Any, TypeVar

import psycopg2
import pyarrow as pa
import pyarrow.compute as pc
from confluent_kafka import Producer
from psycopg2.extensions import connection as PgConnection
from pyspark.sql import DataFrame, SparkSession
from pyspark.storagelevel import StorageLevel

from insights import failpoints
from insights.clients import connections
from insights.clients.retry import retry_until_ready
from insights.errors import UserError
from insights.model.quarantine import QuarantineRecord
from insights.model.reasons import Reason
from insights.model.schema import CASSANDRA_TABLES, MAX_ARRIVALS
from insights.settings import CassandraSettings, KafkaSettings, PostgresSettings, StreamSettings
from insights.sinks import postgres, quarantine_topic
from insights.sinks.cassandra import CassandraWriter
from insights.sinks.checkpoint_offsets import count_offsets, read_batch_offsets
from insights.sinks.cql_encoding import compute_buckets

T = TypeVar("T")

REJECTED_BYTES = 16 * 1024 * 1024
"""Bytes of rejected payloads that memory holds at a time."""
OUTAGE_SECONDS = 90.0
"""How long a batch waits for a store that does not answer. A new start of the stream takes about as long."""
MAX_PAUSE_SECONDS = 2.0
USER_TABLES = ("users_by_id", "users_by_country", "users_by_registration_month")
_COMMIT_POLL_SECONDS = 0.05
_QUARANTINE_COLUMNS = tuple(field.name for field in fields(QuarantineRecord))


@dataclass(frozen=True, slots=True)
class TransformOutputs:
    """The two outputs of the transformation in `insights.stream`: users, and quarantine records with their `size`."""

    accepted: Callable[[DataFrame], DataFrame]
    rejected: Callable[[DataFrame], DataFrame]


@dataclass(frozen=True, slots=True)
class DeliveredBatch:
    """A micro-batch that every sink has: its batch id, its records, and the seconds of each step."""

    number: int
    accepted: int
    rejected: int
    seconds: Mapping[str, float]


class MicroBatchSink:
    """The function for `foreachBatch`: delivers a transformed micro-batch to every sink.

    Connects on first use and keeps the connections. `on_delivered` is called after each delivered batch.
    """

    def __init__(
        self,
        outputs: TransformOutputs,
        stream: StreamSettings,
        postgres_settings: PostgresSettings,
        cassandra_settings: CassandraSettings,
        kafka: KafkaSettings,
        on_delivered: Callable[[DeliveredBatch], None],
    ) -> None:
        self._outputs, self._stream, self._on_delivered = outputs, stream, on_delivered
        self._postgres_settings, self._cassandra_settings, self._kafka = postgres_settings, cassandra_settings, kafka
        self._connection: PgConnection | None = None
        self._writer: CassandraWriter | None = None
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

    def _deliver(self, batch: DataFrame, number: int) -> None:
        failpoints.reach("batch.started")
        started_at = datetime.now(UTC)
        timer = _StepTimer()
        spark = batch.sparkSession
        offsets = read_batch_offsets(spark, self._stream.checkpoint, number)
        batch_id = postgres.MicroBatchId(read_query_id(spark), number, offsets, started_at)
        transformed = batch.persist(StorageLevel.MEMORY_AND_DISK)
        try:
            accepted = self._outputs.accepted(transformed).toArrow()
            all_accepted = accepted.num_rows == count_offsets(offsets)
            rejected = RejectedRecords(None if all_accepted else self._outputs.rejected(transformed))
            timer.finish("transform")
            merged = self._with_postgres(
                lambda connection: postgres.merge_batch(connection, batch_id, accepted, rejected)
            )
            timer.finish("postgres")
            self._write_cassandra(pa.concat_tables([accepted.take(pa.array(merged.current)), merged.stored]))
            timer.finish("cassandra")
            self._write_quarantine_topic(rejected)
            failpoints.reach("batch.copied")
            timer.finish("quarantine")
        finally:
            transformed.unpersist()
        self._with_postgres(lambda connection: postgres.mark_delivered(connection, batch_id))
        timer.finish("mark")
        self._on_delivered(DeliveredBatch(number, accepted.num_rows, merged.rejected, timer.seconds))

    def _with_postgres(self, work: Callable[[PgConnection], T]) -> T:
        """Run idempotent `work` on the open connection, or on a new one if that is lost.

        A server that accepts no connection, as during a restart, is retried like one that closed it.
        """
        deadline, pause = time.monotonic() + OUTAGE_SECONDS, 0.25
        while True:
            try:
                if self._connection is None:
                    self._connection = connections.connect_postgres(self._postgres_settings, "stream")
                return work(self._connection)
            except (psycopg2.OperationalError, psycopg2.InterfaceError, UserError):
                if self._connection is not None:
                    self._connection.close()
                    self._connection = None
                if time.monotonic() > deadline:
                    raise
                time.sleep(pause)
                pause = min(2 * pause, MAX_PAUSE_SECONDS)

    def _write_cassandra(self, users: pa.Table) -> None:
        writer = self._connect_cassandra()
        moves = self._with_postgres(postgres.read_undelivered_moves)
        counts = self._with_postgres(postgres.read_undelivered_counts)
        write_users(writer, users)
        delete_moved(writer, moves)
        writer.upsert("user_counts", ("dimension", "value", "count"), counts, "seq")
        failpoints.reach("cassandra.counts_written")

    def _write_quarantine_topic(self, rejected: "RejectedRecords") -> None:
        for records in rejected:
            self._producer = self._producer or connections.make_kafka_producer(self._kafka, "stream")
            quarantine_topic.produce_copies(self._producer, self._kafka.quarantine_topic, records)

    def _connect_cassandra(self) -> CassandraWriter:
        if self._writer is None:
            session = retry_until_ready(
                "Cassandra",
                lambda: self._resources.enter_context(connections.open_cassandra(self._cassandra_settings)),
                time.monotonic() + OUTAGE_SECONDS,
            )
            self._writer = CassandraWriter(
                session, in_flight=self._stream.cassandra_in_flight, batch_rows=self._stream.cassandra_batch_rows
            )
        return self._writer


class RejectedRecords:
    """The rejected records of a batch, in chunks of `REJECTED_BYTES` or one record; can be iterated more than once."""

    def __init__(self, frame: DataFrame | None) -> None:
        self._frame = frame

    def __iter__(self) -> Iterator[list[QuarantineRecord]]:
        if self._frame is None:
            return
        sizes = self._frame.select("origin", "size").toArrow().to_pylist()
        portions: list[list[str]] = []
        free_bytes = 0
        for row in sizes:
            if row["size"] > free_bytes or not portions:
                portions.append([])
                free_bytes = REJECTED_BYTES
            portions[-1].append(row["origin"])
            free_bytes -= row["size"]
        for origins in portions:
            frame = self._frame if len(portions) == 1 else self._frame.where(self._frame.origin.isin(origins))
            yield [_to_quarantine_record(row) for row in frame.toArrow().to_pylist()]


def write_users(writer: CassandraWriter, users: pa.Table) -> None:
    """Upsert users into every user table, and the newest `MAX_ARRIVALS` into `latest_arrivals`."""
    if not users.num_rows:
        return
    users = users.combine_chunks()
    users = users.append_column("bucket", compute_buckets(users["user_id"].chunk(0)))
    for table in USER_TABLES:
        writer.upsert(table, CASSANDRA_TABLES[table][1], users, "version")
        failpoints.reach("cassandra.users_written")
    newest = pc.select_k_unstable(users, MAX_ARRIVALS, [("event_time", "descending"), ("version", "descending")])
    arrivals = users.take(newest)
    hours = pc.strftime(arrivals["event_time"].cast(pa.timestamp("us")), "%Y-%m-%dT%H")
    columns = CASSANDRA_TABLES["latest_arrivals"][1]
    writer.upsert("latest_arrivals", columns, arrivals.append_column("hour", hours), "version")
    failpoints.reach("cassandra.arrivals_written")


def delete_moved(writer: CassandraWriter, moves: pa.Table) -> None:
    """Delete the rows under the old keys of users whose country, month or registration instant changed."""
    if not moves.num_rows:
        return
    moves = moves.append_column("bucket", compute_buckets(moves["user_id"].chunk(0)))
    for table, key in (("users_by_country", "country_code"), ("users_by_registration_month", "registered_month")):
        keys = moves.filter(moves[key].is_valid()).select([key, "bucket", "registered_at", "user_id", "version"])
        writer.delete(table, keys, "version")
        failpoints.reach("cassandra.moved_deleted")


def read_query_id(spark: SparkSession) -> str:
    """The id, from its checkpoint, of the streaming query that runs on this thread.

    Raises:
        RuntimeError: no streaming query runs on this thread.
    """
    query_id: str | None = spark.sparkContext.getLocalProperty("sql.streaming.queryId")
    if not query_id:
        raise RuntimeError("there is no streaming query on this thread")
    return query_id


def _to_quarantine_record(row: dict[str, Any]) -> QuarantineRecord:
    values = {name: row[name] for name in _QUARANTINE_COLUMNS}
    return QuarantineRecord(**values | {"reason": Reason(row["reason"])})


class _StepTimer:
    """The duration of each step in seconds; a step starts when the previous one finishes."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._started = time.monotonic()

    def finish(self, step: str) -> None:
        now = time.monotonic()
        self.seconds[step], self._started = now - self._started, now
