"""Users written straight into both stores, as the stream delivers them, but without the chain before it."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
from cassandra.cluster import Session
from psycopg2.extensions import connection as PgConnection

from benchmarks.common.population import Chunk
from insights.clients import connections
from insights.settings import StoreSettings, StreamSettings, load
from insights.sinks import delivery, postgres
from insights.sinks.batch_contents import BatchContents, RejectedRecords
from insights.sinks.cassandra import CassandraWriter

BATCH = 20_000
QUERY = "benchmark"


class _Stores:
    def __init__(self, connection: PgConnection, session: Session) -> None:
        stream = load(StreamSettings)
        self._connection, self._session = connection, session
        self._writer = CassandraWriter(
            session, in_flight=stream.cassandra_in_flight, batch_rows=stream.cassandra_batch_rows
        )

    def with_postgres(self, work: Callable[[PgConnection], Any]) -> Any:
        return work(self._connection)

    def connect_cassandra(self) -> tuple[Session, CassandraWriter]:
        return self._session, self._writer


@contextmanager
def _open(settings: StoreSettings) -> Iterator[_Stores]:
    with ExitStack() as stack:
        connection = stack.enter_context(closing(connections.connect_postgres(settings.postgres, QUERY)))
        yield _Stores(connection, stack.enter_context(connections.open_cassandra(settings.cassandra)))


def fill(settings: StoreSettings, first: int, users: int) -> None:
    """Deliver the generated users `first` to `users - 1`, in batches. No stream may run."""
    started = time.monotonic()
    with _open(settings) as stores:
        for start in range(first, users, BATCH):
            rows = Chunk(start, min(BATCH, users - start)).accepted()
            _deliver(stores, start, rows)
            rate = (start + rows.num_rows - first) / (time.monotonic() - started)
            print(f"{start + rows.num_rows:,} of {users:,} users written, {rate:,.0f}/s", file=sys.stderr, flush=True)


def _deliver(stores: _Stores, number: int, rows: pa.Table) -> None:
    offsets = {"generated": {"0": [number, number + rows.num_rows]}}
    batch = postgres.MicroBatchId(QUERY, number, offsets, datetime.now(UTC))
    contents = BatchContents(batch, rows, RejectedRecords(), lambda _: RejectedRecords())
    delivery.write_cassandra(stores, contents, delivery.merge(stores, contents))
    stores.with_postgres(lambda connection: postgres.mark_delivered(connection, batch))
