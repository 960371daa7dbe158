"""Write Arrow tables to Cassandra in unlogged batches of rows with the same replicas, a bounded number in flight."""

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from cassandra.cluster import NoHostAvailable, Session
from cassandra.cmurmur3 import murmur3
from cassandra.metadata import Metadata
from cassandra.policies import FallthroughRetryPolicy
from cassandra.query import PreparedStatement

from insights.clients.connections import CASSANDRA_ERRORS, CASSANDRA_REJECTIONS
from insights.sinks.bisection import find_refused
from insights.sinks.cql_batches import BlockProtocol, RowBlock, encode_statement_prefix, make_unlogged_batch
from insights.sinks.cql_encoding import encode_routing_keys, encode_rows, read_row_offsets, split_rows
from insights.sinks.store_errors import CASSANDRA_REFUSALS, quote_store

T = TypeVar("T")

OUTAGE_SECONDS = 90.0
"""How long rows that failed with a retriable error are sent again."""
FIRST_BACKOFF_SECONDS, MAX_BACKOFF_SECONDS = 0.25, 2.0
MAX_BATCH_BYTES = 44 * 1024
"""Below Cassandra's limit of 50 KiB (`batch_size_fail_threshold`), which counts `CELL_BYTES` on top of each value."""
CELL_BYTES = 12
SLICE_ROWS = 8192
"""Rows that are encoded at a time, which bounds the memory of a write."""


class RoutedBlock(NamedTuple):
    """A block and a routing key: a partition key with the replicas of its rows, or None if any node will do."""

    block: RowBlock
    routing_key: bytes | None


class FailedBlock(NamedTuple):
    """A block and the error of its last attempt."""

    error: Exception
    routed: RoutedBlock


# The server warns of every batch that spans partitions, and the driver logs it.
logging.getLogger("cassandra.protocol").setLevel(logging.ERROR)


class CassandraWriter:
    """Idempotent writes through one driver session, each row with a write timestamp of its own.

    Writes that fail with a retriable error are repeated for at least `OUTAGE_SECONDS`.

    Args:
        session: the writer sets its protocol handler, client timestamps and retry policy.
        in_flight: maximum number of unanswered requests.
        batch_rows: maximum number of rows in a batch.
    """

    def __init__(self, session: Session, *, in_flight: int, batch_rows: int) -> None:
        session.client_protocol_handler = BlockProtocol
        session.use_client_timestamp = False
        session.cluster.profile_manager.default.retry_policy = FallthroughRetryPolicy()
        self._session = session
        self._in_flight = in_flight
        self._batch_rows = batch_rows
        self._prepared: dict[str, PreparedStatement] = {}

    def upsert(self, table: str, names: Sequence[str], rows: pa.Table, timestamp: str) -> int:
        """Upsert the columns `names` of `rows` with the write timestamp in the column `timestamp` (microseconds).

        Returns the number of rows.

        Raises:
            Exception: the driver's first error that is not retriable, or that remained after `OUTAGE_SECONDS`.
        """
        cql, columns = _build_insert(table, names, timestamp)
        return self._write(cql, rows, columns)

    def delete(self, table: str, keys: pa.Table, timestamp: str) -> int:
        """Delete rows by their primary keys, with the write timestamp in the column `timestamp` (microseconds).

        Returns the number of keys.

        Raises:
            Exception: as for `upsert`.
        """
        cql, columns = _build_delete(table, keys, timestamp)
        return self._write(cql, keys, columns)

    def upsert_valid(self, table: str, names: Sequence[str], rows: pa.Table, timestamp: str) -> dict[int, str]:
        """Upsert, as `upsert` does, all rows that Cassandra does not refuse.

        Returns the indices of the rows that it refuses, each with its words.

        Raises:
            Exception: the driver's first error that is not about the rows; as for `upsert`.
        """
        cql, columns = _build_insert(table, names, timestamp)
        return self._write_valid(cql, rows, columns)

    def delete_valid(self, table: str, keys: pa.Table, timestamp: str) -> dict[int, str]:
        """Delete, as `delete` does, by all keys that Cassandra does not refuse. Returns those, as `upsert_valid`."""
        cql, columns = _build_delete(table, keys, timestamp)
        return self._write_valid(cql, keys, columns)

    def _write_valid(self, cql: str, rows: pa.Table, columns: Sequence[str]) -> dict[int, str]:
        def attempt(part: range) -> str | None:
            try:
                self._write(cql, rows.slice(part.start, len(part)), columns)
            except CASSANDRA_REFUSALS as error:
                return quote_store(error)
            return None

        if attempt(range(rows.num_rows)) is None:
            return {}
        # Preparing the statement again raises the error if the reason is the table, and not the rows.
        self._prepared.pop(cql, None)
        self._prepare(cql)
        return find_refused(range(rows.num_rows), attempt)

    def _write(self, cql: str, rows: pa.Table, columns: Sequence[str]) -> int:
        """Execute `cql` for each row, its markers bound to `columns`."""
        if rows.num_rows == 0:
            return 0
        statement = self._prepare(cql)
        failed: list[FailedBlock] = []
        rows = rows.select(dict.fromkeys(columns))
        for batch in slice_by_partition(rows, [columns[i] for i in statement.routing_key_indexes]):
            failed += self._send(self._encode_blocks(statement, batch, columns))
        self._retry(failed)
        return int(rows.num_rows)

    def _encode_blocks(
        self, statement: PreparedStatement, batch: pa.RecordBatch, columns: Sequence[str]
    ) -> Iterator[RoutedBlock]:
        cql_types = [column.type.typename for column in statement.column_metadata]
        prefix = encode_statement_prefix(statement.query_id, len(columns))
        for group, routing_key in self._group_by_replicas(statement, batch, columns, cql_types):
            rows = encode_rows([group[name] for name in columns], cql_types, prefix)
            data, offsets = memoryview(rows.buffers()[2]), read_row_offsets(rows)
            for start, end in split_rows(rows, CELL_BYTES * len(columns), self._batch_rows, MAX_BATCH_BYTES):
                yield RoutedBlock(RowBlock(end - start, data[offsets[start] : offsets[end]]), routing_key)

    def _group_by_replicas(
        self, statement: PreparedStatement, batch: pa.RecordBatch, columns: Sequence[str], cql_types: Sequence[str]
    ) -> Iterator[tuple[pa.RecordBatch, bytes | None]]:
        """Group rows by replicas, each group with a routing key; with one set of replicas, one group without a key."""
        tokens, replicas = map_replica_sets(self._session.cluster.metadata, self._session.keyspace)
        if len(set(replicas.tolist())) < 2:
            yield batch, None
            return
        indexes = statement.routing_key_indexes
        keys = encode_routing_keys([batch[columns[i]] for i in indexes], [cql_types[i] for i in indexes])
        encoded = keys.dictionary_encode()
        hashes = np.array([murmur3(value.as_py()) for value in encoded.dictionary], np.int64)
        ranges = np.searchsorted(tokens, hashes[encoded.indices.to_numpy()]) % len(tokens)
        row_replicas = replicas[ranges]
        for replica_set in np.unique(row_replicas):
            members = np.flatnonzero(row_replicas == replica_set)
            yield batch.take(pa.array(members)), keys[int(members[0])].as_py()

    def _send(self, blocks: Iterable[RoutedBlock]) -> list[FailedBlock]:
        """Send the blocks, at most `in_flight` unanswered at a time. Returns the blocks that failed and may be retried.

        Raises:
            Exception: the first error that is not retriable, once every request has been answered.
        """
        slots = threading.BoundedSemaphore(self._in_flight)
        failures: list[FailedBlock] = []
        for routed in blocks:
            slots.acquire()
            if failures and not _is_retriable(failures[0].error):
                slots.release()
                break
            request = _Request(routed, failures, slots)
            try:
                batch = make_unlogged_batch(routed.block, self._session.keyspace, routed.routing_key)
                self._session.execute_async(batch).add_callbacks(request.succeed, request.fail)
            except NoHostAvailable as error:
                request.fail(error)
        for _ in range(self._in_flight):
            slots.acquire()
        for failure in failures:
            if not _is_retriable(failure.error):
                raise failure.error
        return failures

    def _prepare(self, cql: str) -> PreparedStatement:
        return repeat_through_outage(
            lambda: self._prepared.get(cql) or self._prepared.setdefault(cql, self._session.prepare(cql))
        )

    def _retry(self, failures: list[FailedBlock]) -> None:
        attempts = _pace_attempts()
        next(attempts)  # The one that failed.
        while failures:
            if next(attempts):
                raise failures[0].error
            failures = self._send([failure.routed for failure in failures])


class _Request:
    """A request in flight. Releases its slot once, although the driver may report it twice if a connection breaks."""

    def __init__(self, routed: RoutedBlock, failures: list[FailedBlock], slots: threading.BoundedSemaphore) -> None:
        self._routed, self._failures, self._slots = routed, failures, slots
        self._reported = threading.Lock()

    def succeed(self, _: Any) -> None:
        if self._reported.acquire(blocking=False):
            self._slots.release()

    def fail(self, error: Exception) -> None:
        if self._reported.acquire(blocking=False):
            self._failures.append(FailedBlock(error, self._routed))
            self._slots.release()


def repeat_through_outage(work: Callable[[], T]) -> T:
    """Call idempotent `work` until it succeeds, for at least `OUTAGE_SECONDS`, and return its result.

    Raises:
        Exception: the driver's first error that is not retriable, or that remained; any other error of `work`.
    """
    for last_attempt in _pace_attempts():
        try:
            return work()
        except CASSANDRA_ERRORS as error:
            if last_attempt or not _is_retriable(error):
                raise
    raise AssertionError("unreachable")


def _pace_attempts() -> Iterator[bool]:
    """Yield for each attempt whether it is the last, with growing pauses in between."""
    deadline, backoff = time.monotonic() + OUTAGE_SECONDS, FIRST_BACKOFF_SECONDS
    while time.monotonic() < deadline:
        yield False
        time.sleep(backoff)
        backoff = min(2 * backoff, MAX_BACKOFF_SECONDS)
    yield True


def _build_insert(table: str, names: Sequence[str], timestamp: str) -> tuple[str, list[str]]:
    """The statement, and the columns to which its markers are bound."""
    markers = ", ".join("?" for _ in names)
    return f"INSERT INTO {table} ({', '.join(names)}) VALUES ({markers}) USING TIMESTAMP ?", [*names, timestamp]


def _build_delete(table: str, keys: pa.Table, timestamp: str) -> tuple[str, list[str]]:
    names = [name for name in keys.column_names if name != timestamp]
    where = " AND ".join(f"{name} = ?" for name in names)
    return f"DELETE FROM {table} USING TIMESTAMP ? WHERE {where}", [timestamp, *names]


def slice_by_partition(rows: pa.Table, key: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """Yield slices of the rows, sorted by the columns of the partition key.

    Cassandra applies the rows of a batch that share a partition as one mutation, so fewer are logged and merged.
    """
    order = pc.sort_indices(rows, [(name, "ascending") for name in key])
    rows = rows.combine_chunks()
    for start in range(0, rows.num_rows, SLICE_ROWS):
        yield from rows.take(order[start : start + SLICE_ROWS]).combine_chunks().to_batches()


def map_replica_sets(metadata: Metadata, keyspace: str) -> tuple[np.ndarray, np.ndarray]:
    """The ring's tokens in order, and for the range that ends at each, the number of its set of replicas.

    Ranges with the same replicas have the same number. Both arrays have the shape (tokens,), dtype int64.
    """
    ring = metadata.token_map.ring if metadata.token_map else []
    numbers: dict[frozenset[Any], int] = {}
    sets = [frozenset(host.endpoint for host in metadata.token_map.get_replicas(keyspace, token)) for token in ring]
    replicas = np.array([numbers.setdefault(members, len(numbers)) for members in sets], np.int64)
    return np.array([token.value for token in ring], np.int64), replicas


def _is_retriable(error: Exception) -> bool:
    """Whether a retry may succeed: after timeouts, overload or lost nodes, but not after an invalid statement."""
    return not isinstance(error, CASSANDRA_REJECTIONS)
