"""Writes Arrow tables to Cassandra: unlogged batches of rows that share their replicas, a bounded number in flight."""

import logging
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from cassandra import RequestValidationException, protocol
from cassandra.cluster import NoHostAvailable, Session
from cassandra.cmurmur3 import murmur3
from cassandra.policies import FallthroughRetryPolicy

from insights.sinks.cql_batches import BlockProtocol, RowBlock, encode_statement_prefix, make_unlogged_batch
from insights.sinks.cql_encoding import encode_routing_keys, encode_rows, read_row_offsets, split_rows

ATTEMPTS = 6
FIRST_PAUSE_SECONDS = 0.25
MOST_BATCH_BYTES = 44 * 1024
"""Cassandra refuses batches of more than 50 KiB, counting `CELL_BYTES` on top of each value."""
CELL_BYTES = 12
SLICE_ROWS = 8192
"""Rows turned into bytes at a time: the memory of a write is bounded by it."""


class RoutedBlock(NamedTuple):
    """A block and a partition key that lives where its rows do; none where every node will do."""

    block: RowBlock
    key: bytes | None


class FailedBlock(NamedTuple):
    error: Exception
    routed: RoutedBlock


logging.getLogger("cassandra.protocol").setLevel(logging.ERROR)  # One warning a batch: our batches span partitions.


class CassandraWriter:
    """Idempotent writes through one driver session; every row carries its own timestamp.

    Any failure that a second try may mend is tried again `ATTEMPTS` times in all; the first that remains is raised.
    """

    def __init__(self, session: Session, *, in_flight: int, batch_rows: int) -> None:
        session.client_protocol_handler = BlockProtocol
        session.use_client_timestamp = False
        session.cluster.profile_manager.default.retry_policy = FallthroughRetryPolicy()
        self._session = session
        self._in_flight = in_flight
        self._batch_rows = batch_rows
        self._prepared: dict[str, Any] = {}

    def upsert(self, table: str, names: Sequence[str], rows: pa.Table, timestamp: str) -> int:
        """Write the columns `names` of `rows` as of the column `timestamp` (microseconds)."""
        marks = ", ".join("?" for _ in names)
        cql = f"INSERT INTO {table} ({', '.join(names)}) VALUES ({marks}) USING TIMESTAMP ?"
        return self._write(cql, rows, [*names, timestamp])

    def delete(self, table: str, keys: pa.Table, timestamp: str) -> int:
        """Delete the rows of the primary keys in `keys`, as of its column `timestamp` (microseconds)."""
        names = [name for name in keys.column_names if name != timestamp]
        where = " AND ".join(f"{name} = ?" for name in names)
        return self._write(f"DELETE FROM {table} USING TIMESTAMP ? WHERE {where}", keys, [timestamp, *names])

    def _write(self, cql: str, rows: pa.Table, values: Sequence[str]) -> int:
        if rows.num_rows == 0:
            return 0
        statement = self._prepared.get(cql) or self._prepared.setdefault(cql, self._session.prepare(cql))
        failed: list[FailedBlock] = []
        for batch in slice_by_partition(rows, [values[i] for i in statement.routing_key_indexes]):
            failed += self._send(self._blocks(statement, batch, values))
        self._retry(failed)
        return int(rows.num_rows)

    def _blocks(self, statement: Any, batch: pa.RecordBatch, values: Sequence[str]) -> Iterator[RoutedBlock]:
        kinds = [column.type.typename for column in statement.column_metadata]
        prefix = encode_statement_prefix(statement.query_id, len(values))
        for group, routing_key in self._replica_groups(statement, batch, values, kinds):
            rows = encode_rows([group[name] for name in values], kinds, prefix)
            data, offsets = memoryview(rows.buffers()[2]), read_row_offsets(rows)
            for first, last in split_rows(rows, CELL_BYTES * len(values), self._batch_rows, MOST_BATCH_BYTES):
                yield RoutedBlock(RowBlock(last - first, data[offsets[first] : offsets[last]]), routing_key)

    def _replica_groups(
        self, statement: Any, batch: pa.RecordBatch, values: Sequence[str], kinds: Sequence[str]
    ) -> Iterator[tuple[pa.RecordBatch, bytes | None]]:
        """The rows of a batch by the nodes that hold them; one node, or all nodes, need no token."""
        tokens, replicas = map_replica_sets(self._session.cluster.metadata, self._session.keyspace)
        if len(set(replicas.tolist())) < 2:
            yield batch, None
            return
        key = [values[i] for i in statement.routing_key_indexes]
        keys = encode_routing_keys([batch[name] for name in key], [kinds[i] for i in statement.routing_key_indexes])
        encoded = keys.dictionary_encode()
        hashes = np.array([murmur3(value.as_py()) for value in encoded.dictionary], np.int64)
        ranges = np.searchsorted(tokens, hashes[encoded.indices.to_numpy()]) % len(tokens)
        sets = replicas[ranges]
        for number in np.unique(sets):
            members = np.flatnonzero(sets == number)
            yield batch.take(pa.array(members)), keys[int(members[0])].as_py()

    def _send(self, blocks: Iterable[RoutedBlock]) -> list[FailedBlock]:
        """Send every block, at most `in_flight` unanswered; returns what failed and may be tried again.

        Raises:
            Exception: the first failure that no second try can mend, after all answers are in.
        """
        slots = threading.BoundedSemaphore(self._in_flight)
        failures: list[FailedBlock] = []
        for routed in blocks:
            slots.acquire()
            if failures and not _passing(failures[0].error):
                slots.release()
                break
            answer = _Answer(routed, failures, slots)
            try:
                batch = make_unlogged_batch(routed.block, self._session.keyspace, routed.key)
                self._session.execute_async(batch).add_callbacks(answer.good, answer.bad)
            except NoHostAvailable as error:
                answer.bad(error)
        for _ in range(self._in_flight):
            slots.acquire()
        for failure in failures:
            if not _passing(failure.error):
                raise failure.error
        return failures

    def _retry(self, failures: list[FailedBlock]) -> None:
        pause = FIRST_PAUSE_SECONDS
        for _ in range(ATTEMPTS - 1):
            if not failures:
                return
            time.sleep(pause)
            pause *= 2
            failures = self._send([failure.routed for failure in failures])
        if failures:
            raise failures[0].error


class _Answer:
    """Frees a request's slot once: the driver may report a request twice when its connection breaks."""

    def __init__(self, routed: RoutedBlock, failures: list[FailedBlock], slots: threading.BoundedSemaphore) -> None:
        self._routed, self._failures, self._slots = routed, failures, slots
        self._first = threading.Lock()

    def good(self, _: Any) -> None:
        if self._first.acquire(blocking=False):
            self._slots.release()

    def bad(self, error: Exception) -> None:
        if self._first.acquire(blocking=False):
            self._failures.append(FailedBlock(error, self._routed))
            self._slots.release()


def slice_by_partition(rows: pa.Table, key: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """Slices of the rows in the order of the partition key's columns.

    Cassandra applies a batch's rows of one partition as one mutation, so that fewer are logged and merged.
    """
    order = pc.sort_indices(rows, [(name, "ascending") for name in key])
    rows = rows.combine_chunks()
    for first in range(0, rows.num_rows, SLICE_ROWS):
        yield from rows.take(order[first : first + SLICE_ROWS]).combine_chunks().to_batches()


def map_replica_sets(metadata: Any, keyspace: str) -> tuple[np.ndarray, np.ndarray]:
    """The ring's tokens in order, and for the range that ends at each a number naming its set of replicas."""
    ring = metadata.token_map.ring if metadata.token_map else []
    numbers: dict[frozenset[Any], int] = {}
    sets = [frozenset(host.endpoint for host in metadata.token_map.get_replicas(keyspace, token)) for token in ring]
    replicas = np.array([numbers.setdefault(members, len(numbers)) for members in sets], np.int64)
    return np.array([token.value for token in ring], np.int64), replicas


def _passing(error: Exception) -> bool:
    """Whether a second try may succeed: timeouts, overload, nodes going away; not a statement that is refused."""
    return not isinstance(error, (RequestValidationException, protocol.RequestValidationException))
