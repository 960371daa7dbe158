"""The connections to PostgreSQL and Cassandra, of the driver and of each of the executors' Python processes."""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import psycopg2
from cassandra.cluster import Session
from psycopg2.extensions import connection as PgConnection

from insights.clients import connections
from insights.clients.retry import retry_until_ready
from insights.errors import NotReadyError, RefusedError
from insights.model.quarantine import Refusal
from insights.settings import CassandraSettings, PostgresSettings, StreamSettings
from insights.sinks.cassandra import CassandraWriter
from insights.sinks.store_errors import is_postgres_outage
from insights.sinks.user_ranges import ALL_USERS, UserRange

T = TypeVar("T")

OUTAGE_SECONDS = 90.0
"""How long a batch waits for a store that does not answer. A new start of the stream takes about as long."""
MAX_PAUSE_SECONDS = 2.0


class Connections(Protocol):
    """The connections to both stores."""

    def with_postgres(self, work: Callable[[PgConnection], Any]) -> Any:
        """Run idempotent `work`, again after an outage. Errors about rows are raised at once."""

    def connect_cassandra(self) -> tuple[Session, CassandraWriter]:
        """The session and the writer on it."""


class Stores(Connections, Protocol):
    """Both stores, as the delivery of a batch uses them."""

    def write_users(
        self, seqs: Sequence[int] | None, rows: int, *, users: UserRange = ALL_USERS, skip_refused: bool
    ) -> Mapping[str, Refusal]:
        """Write a range of the users of merged batches, about `rows`, to their tables; without `seqs`, of all batches.

        Returns what is refused, by origin.
        """


@dataclass(frozen=True, slots=True)
class StoreConnectionSettings:
    """What a process needs to connect to both stores."""

    stream: StreamSettings
    postgres: PostgresSettings
    cassandra: CassandraSettings


class StoreConnections:
    """A connection to each store, opened on first use and kept."""

    def __init__(self, settings: StoreConnectionSettings) -> None:
        self._settings = settings
        self._connection: PgConnection | None = None
        self._cassandra: tuple[Session, CassandraWriter] | None = None
        self._resources = ExitStack()

    def close(self) -> None:
        """Close the connections."""
        self._resources.close()
        if self._connection is not None:
            self._connection.close()

    def with_postgres(self, work: Callable[[PgConnection], T]) -> T:
        """Run idempotent `work` on the open connection; after an outage, again on a new one.

        A server that accepts no connection, as during a restart, is retried like one that closed it. Any other error,
        such as one about the rows, is raised at once.
        """
        deadline, pause = time.monotonic() + OUTAGE_SECONDS, 0.25
        while True:
            try:
                if self._connection is None:
                    self._connection = connections.connect_postgres(self._settings.postgres, "stream")
                return work(self._connection)
            except (psycopg2.Error, NotReadyError, RefusedError) as error:
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
                lambda: self._resources.enter_context(connections.open_cassandra(self._settings.cassandra)),
                time.monotonic() + OUTAGE_SECONDS,
            )
            stream = self._settings.stream
            writer = CassandraWriter(
                session, in_flight=stream.cassandra_in_flight, batch_rows=stream.cassandra_batch_rows
            )
            self._cassandra = session, writer
        return self._cassandra
