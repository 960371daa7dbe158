"""One micro-batch to every sink: PostgreSQL first, where all is decided, then Cassandra, then the quarantine topic.

Every step may run again after a crash between any two: the merge knows the batch, the rest is idempotent.
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
from pyspark.sql import DataFrame, SparkSession
from pyspark.storagelevel import StorageLevel

from insights.clients import connections
from insights.errors import UserError
from insights.model.quarantine import QuarantineRecord
from insights.model.reasons import Reason
from insights.model.schema import CASSANDRA_TABLES
from insights.settings import CassandraSettings, KafkaSettings, PostgresSettings, StreamSettings
from insights.sinks import postgres, quarantine_topic
from insights.sinks.cassandra import CassandraWriter
from insights.sinks.checkpoint_offsets import count_offsets, read_batch_offsets
from insights.sinks.cql_encoding import compute_buckets

T = TypeVar("T")

LATEST = 200
"""Arrivals of one batch that the latest arrivals take at most."""
REFUSED_BYTES = 16 * 1024 * 1024
"""Refused values that are in memory at the same time."""
POSTGRES_ATTEMPTS = 5
USER_TABLES = ("users_by_id", "users_by_country", "users_by_registration_month")
_QUARANTINED = tuple(field.name for field in fields(QuarantineRecord))


@dataclass(frozen=True, slots=True)
class TransformOutputs:
    """How `insights.stream` splits judged messages."""

    accepted: Callable[[DataFrame], DataFrame]
    rejected: Callable[[DataFrame], DataFrame]


@dataclass(frozen=True, slots=True)
class DeliveredBatch:
    """A batch that every sink has; seconds per step."""

    number: int
    accepted: int
    rejected: int
    seconds: Mapping[str, float]


class MicroBatchSink:
    """The function that `foreachBatch` calls with judged messages. Connections are made on first use and kept.

    `served` hears of every batch. `stop()` lets the batch that runs come to its end and refuses the next.
    """

    def __init__(
        self,
        verdicts: TransformOutputs,
        stream: StreamSettings,
        postgres_settings: PostgresSettings,
        cassandra_settings: CassandraSettings,
        kafka: KafkaSettings,
        served: Callable[[DeliveredBatch], None],
    ) -> None:
        self._verdicts, self._stream, self._served = verdicts, stream, served
        self._postgres_settings, self._cassandra_settings, self._kafka = postgres_settings, cassandra_settings, kafka
        self._connection: Any = None
        self._writer: CassandraWriter | None = None
        self._producer: Any = None
        self._running = threading.Lock()
        self._stopped = False
        self._last = -1
        self._open = ExitStack()
        self.failure: Exception | None = None
        """What ended the query; Spark keeps only its text."""

    def __call__(self, batch: DataFrame, number: int) -> None:
        with self._running:
            if self._stopped:
                raise RuntimeError(f"batch {number} was not begun: the stream is stopping")
            try:
                self._serve(batch, number)
            except Exception as error:
                self.failure = error
                raise
            self._last = number

    def stop(self) -> None:
        """Return when no batch runs; none begins afterwards."""
        with self._running:
            self._stopped = True

    def close(self) -> None:
        """Close the connections; no batch may run."""
        self._open.close()
        if self._connection is not None:
            self._connection.close()

    def wait_committed(self, committed: Callable[[], int], seconds: float) -> None:
        """Wait until the last batch served here is among those that `committed` counts, at most `seconds`."""
        deadline = time.monotonic() + seconds
        while committed() < self._last and time.monotonic() < deadline:
            time.sleep(0.05)

    def _serve(self, batch: DataFrame, number: int) -> None:
        started = datetime.now(UTC)
        clock = _Clock()
        spark = batch.sparkSession
        offsets = read_batch_offsets(spark, self._stream.checkpoint, number)
        identity = postgres.MicroBatchId(read_query_id(spark), number, offsets, started)
        judged = batch.persist(StorageLevel.MEMORY_AND_DISK)
        try:
            accepted = self._verdicts.accepted(judged).toArrow()
            complete = accepted.num_rows == count_offsets(offsets)
            refused = RejectedRecords(None if complete else self._verdicts.rejected(judged))
            clock.lap("transform")
            merged = self._in_postgres(lambda connection: postgres.merge_batch(connection, identity, accepted, refused))
            clock.lap("postgres")
            self._to_cassandra(pa.concat_tables([accepted.take(pa.array(merged.current)), merged.kept]))
            clock.lap("cassandra")
            self._to_quarantine_topic(refused)
            clock.lap("quarantine")
        finally:
            judged.unpersist()
        self._in_postgres(lambda connection: postgres.mark_delivered(connection, identity))
        clock.lap("mark")
        self._served(DeliveredBatch(number, accepted.num_rows, merged.rejected, clock.seconds))

    def _in_postgres(self, work: Callable[[Any], T]) -> T:
        """`work` on the kept connection, on a new one when that is gone: what is done twice changes nothing.

        A server that lets nobody in, as while it restarts, is tried again like one that went away.
        """
        for attempt in range(POSTGRES_ATTEMPTS):
            try:
                if self._connection is None:
                    self._connection = connections.connect_postgres(self._postgres_settings, "stream")
                return work(self._connection)
            except (psycopg2.OperationalError, psycopg2.InterfaceError, UserError):
                if self._connection is not None:
                    self._connection.close()
                    self._connection = None
                if attempt == POSTGRES_ATTEMPTS - 1:
                    raise
                time.sleep(2**attempt / 4)
        raise AssertionError("unreachable")

    def _to_cassandra(self, users: pa.Table) -> None:
        writer = self._cassandra()
        moves = self._in_postgres(postgres.read_undelivered_moves)
        counts = self._in_postgres(postgres.read_undelivered_counts)
        write_users(writer, users)
        delete_moved(writer, moves)
        writer.upsert("user_counts", ("dimension", "value", "count"), counts, "seq")

    def _to_quarantine_topic(self, refused: "RejectedRecords") -> None:
        for records in refused:
            self._producer = self._producer or connections.make_kafka_producer(self._kafka, "stream")
            quarantine_topic.produce_copies(self._producer, self._kafka.quarantine_topic, records)

    def _cassandra(self) -> CassandraWriter:
        if self._writer is None:
            session = self._open.enter_context(connections.open_cassandra(self._cassandra_settings))
            self._writer = CassandraWriter(
                session, in_flight=self._stream.cassandra_in_flight, batch_rows=self._stream.cassandra_batch_rows
            )
        return self._writer


class RejectedRecords:
    """The refused records of a batch, in portions of bounded size; may be iterated again."""

    def __init__(self, frame: DataFrame | None) -> None:
        self._frame = frame

    def __iter__(self) -> Iterator[list[QuarantineRecord]]:
        if self._frame is None:
            return
        sizes = self._frame.select("origin", "size").toArrow().to_pylist()
        portions: list[list[str]] = []
        room = 0
        for row in sizes:
            if row["size"] > room or not portions:
                portions.append([])
                room = REFUSED_BYTES
            portions[-1].append(row["origin"])
            room -= row["size"]
        for origins in portions:
            frame = self._frame if len(portions) == 1 else self._frame.where(self._frame.origin.isin(origins))
            yield [_quarantined(row) for row in frame.toArrow().to_pylist()]


def write_users(writer: CassandraWriter, users: pa.Table) -> None:
    """Upsert users into every table that holds them, and the newest into the latest arrivals."""
    if not users.num_rows:
        return
    users = users.combine_chunks()
    users = users.append_column("bucket", compute_buckets(users["user_id"].chunk(0)))
    for table in USER_TABLES:
        writer.upsert(table, CASSANDRA_TABLES[table][1], users, "version")
    newest = pc.select_k_unstable(users, LATEST, [("event_time", "descending"), ("version", "descending")])
    arrivals = users.take(newest)
    hours = pc.strftime(arrivals["event_time"].cast(pa.timestamp("us")), "%Y-%m-%dT%H")
    columns = CASSANDRA_TABLES["latest_arrivals"][1]
    writer.upsert("latest_arrivals", columns, arrivals.append_column("hour", hours), "version")


def delete_moved(writer: CassandraWriter, moves: pa.Table) -> None:
    """Delete the rows that users had under another country, month or registration instant."""
    if not moves.num_rows:
        return
    moves = moves.append_column("bucket", compute_buckets(moves["user_id"].chunk(0)))
    for table, key in (("users_by_country", "country_code"), ("users_by_registration_month", "registered_month")):
        keys = moves.filter(moves[key].is_valid()).select([key, "bucket", "registered_at", "user_id", "version"])
        writer.delete(table, keys, "version")


def read_query_id(spark: SparkSession) -> str:
    """The id that the checkpoint gives the running query."""
    found: str | None = spark.sparkContext.getLocalProperty("sql.streaming.queryId")
    if not found:
        raise RuntimeError("there is no streaming query on this thread")
    return found


def _quarantined(row: dict[str, Any]) -> QuarantineRecord:
    values = {name: row[name] for name in _QUARANTINED}
    return QuarantineRecord(**values | {"reason": Reason(row["reason"])})


class _Clock:
    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.monotonic()

    def lap(self, step: str) -> None:
        now = time.monotonic()
        self.seconds[step], self._last = now - self._last, now
