"""A reader beside the flow, which asserts that no user's row disappears or goes back to an older version."""

import threading
from contextlib import closing
from typing import Any

import psycopg2
from cassandra import DriverException, InvalidRequest
from cassandra.cluster import NoHostAvailable
from cassandra.connection import ConnectionException
from cassandra.protocol import ErrorMessage

from tests.fault.checker import Anomaly
from tests.fault.read_stores import StoreAddresses, open_cassandra

PAUSE_SECONDS = 1.0
SHARE = 16
"""The reader watches one user in about this many: in each store, those of a range of ids or tokens."""
POSTGRES_USERS = (
    "SELECT user_id::text, version FROM analytics.users WHERE user_id < '10000000-0000-0000-0000-000000000000'"
)
CASSANDRA_USERS = (
    "SELECT user_id, profile.version AS version FROM user_profiles_by_id"
    f" WHERE token(id_bucket) >= {-(2**63)} AND token(id_bucket) < {-(2**63) + 2**64 // SHARE}"
)
REFUSALS = (psycopg2.ProgrammingError, InvalidRequest)
"""What the stores answer to a query that is wrong, which no outage excuses."""
OUTAGES = (psycopg2.Error, DriverException, NoHostAvailable, ConnectionException, ErrorMessage, OSError)


class VersionWatch:
    """The newest version seen of each user in one store."""

    def __init__(self, hop: str) -> None:
        self._hop = hop
        self._seen: dict[str, int] = {}
        self.reads = 0

    def note(self, rows: dict[str, int]) -> list[Anomaly]:
        """Compare a read with the reads before it."""
        self.reads += 1
        anomalies = [
            Anomaly("lost-write", self._hop, user, "was read before") for user in self._seen.keys() - rows.keys()
        ]
        for user, version in rows.items():
            if version < self._seen.get(user, version):
                anomalies.append(Anomaly("nonmonotonic", self._hop, user, f"{self._seen[user]}, then {version}"))
            self._seen[user] = max(version, self._seen.get(user, version))
        return anomalies


class ConcurrentReader:
    """Reads both stores on a thread until the `with` block ends; outages are not anomalies.

    The block raises what a store answered if it refused a query.
    """

    def __init__(self, addresses: StoreAddresses) -> None:
        self._addresses = addresses
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(read,), daemon=True)
            for read in (self._read_postgres, self._read_cassandra)
        ]
        self.watches = {name: VersionWatch(name) for name in ("postgres", "user_profiles_by_id")}
        self.anomalies: list[Anomaly] = []
        self._refusals: list[Exception] = []

    def __enter__(self) -> "ConcurrentReader":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(60)
        if self._refusals:
            raise self._refusals[0]

    def _run(self, read: Any) -> None:
        while not self._stop.is_set():
            try:
                read()
            except REFUSALS as error:
                self._refusals.append(error)
                return
            except OUTAGES:
                self._stop.wait(PAUSE_SECONDS)

    def _read_postgres(self) -> None:
        with closing(psycopg2.connect(**self._addresses.postgres)) as connection:
            connection.autocommit = True
            while not self._stop.wait(PAUSE_SECONDS):
                with connection.cursor() as cursor:
                    cursor.execute(POSTGRES_USERS)
                    self.anomalies += self.watches["postgres"].note(dict(cursor.fetchall()))

    def _read_cassandra(self) -> None:
        with open_cassandra(self._addresses) as session:
            while not self._stop.wait(PAUSE_SECONDS):
                rows = {str(row["user_id"]): row["version"] for row in session.execute(CASSANDRA_USERS)}
                self.anomalies += self.watches["user_profiles_by_id"].note(rows)
