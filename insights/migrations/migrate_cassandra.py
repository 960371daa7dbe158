"""Apply Cassandra's migrations, one process at a time."""

import hashlib
import logging
import re
import time
from contextlib import closing
from pathlib import Path
from uuid import NAMESPACE_URL, uuid4, uuid5

from cassandra.cluster import Session

from insights import failpoints
from insights.clients import connections
from insights.errors import NotReadyError, UserError
from insights.migrations import MIGRATIONS
from insights.settings import CassandraSettings

_log = logging.getLogger(__name__)
_LOCK_SECONDS = 120
"""Time to live of the lock on Cassandra's migrations, renewed before each statement."""


def migrate_cassandra(settings: CassandraSettings, folder: Path = MIGRATIONS / "cassandra") -> list[str]:
    """Create the keyspace if it does not exist, and apply the CQL files that are new, in order. Returns their names.

    A file is recorded after its last statement and is applied again if that was interrupted, so its statements must be
    idempotent (`IF NOT EXISTS`). Concurrent runs serialise on a lock row.

    Raises:
        NotReadyError: no node answers, or one stopped answering in the middle: a repetition completes the migration.
        UserError: Cassandra refuses the login or rejects a statement, or an applied file has changed.
    """
    with connections.open_cassandra(settings, use_keyspace=False) as session:
        session.cluster.max_schema_agreement_wait = 60
        try:
            session.execute(
                f'CREATE KEYSPACE IF NOT EXISTS "{settings.keyspace}" WITH replication = {settings.replication}'
            )
            failpoints.reach("migrate.keyspace")
            session.set_keyspace(settings.keyspace)
            _create_migration_tables(session, settings.keyspace)
            return _apply_files(session, folder)
        except connections.CASSANDRA_REJECTIONS as error:
            raise UserError(
                f"Cassandra rejected a migration of keyspace {settings.keyspace!r} ({error});"
                " check INSIGHTS_CASSANDRA_REPLICATION and run the migrations again."
            ) from error
        except connections.CASSANDRA_ERRORS as error:
            raise NotReadyError(
                f"Cassandra failed during a migration of keyspace {settings.keyspace!r} ({error});"
                " check that its nodes run and run the migrations again."
            ) from error


def _create_migration_tables(session: Session, keyspace: str) -> None:
    """Create the tables of the migrations. Their ids derive from the keyspace, so that concurrent creations agree."""
    for name, columns in (
        ("schema_migrations", "name text PRIMARY KEY, checksum text, applied_at timestamp"),
        ("schema_lock", "name text PRIMARY KEY, owner uuid"),
    ):
        table_id = uuid5(NAMESPACE_URL, f"user-insights/{keyspace}/{name}")
        session.execute(f"CREATE TABLE IF NOT EXISTS {name} ({columns}) WITH ID = {table_id}")
        failpoints.reach("migrate.lock_tables")


def _apply_files(session: Session, folder: Path) -> list[str]:
    applied = []
    with closing(_MigrationLock(session)) as lock:
        lock.acquire()
        checksums = {row.name: row.checksum for row in session.execute("SELECT name, checksum FROM schema_migrations")}
        for path in sorted(folder.glob("*.cql")):
            text = path.read_text(encoding="utf-8")
            checksum = hashlib.sha256(text.encode()).hexdigest()
            if path.stem in checksums:
                _check_unchanged(path, checksums[path.stem], checksum)
                continue
            for statement in split_cql_statements(text):
                lock.renew()
                _execute_ddl(session, statement)
            session.execute(
                "INSERT INTO schema_migrations (name, checksum, applied_at) VALUES (%s, %s, toTimestamp(now()))",
                (path.stem, checksum),
            )
            failpoints.reach("migrate.cassandra_file")
            _log.info("applied %s to Cassandra", path.stem)
            applied.append(path.stem)
    return applied


def split_cql_statements(text: str) -> list[str]:
    """The statements of a CQL file, each ended by `;` at the end of a line; lines that start with `--` are dropped."""
    code = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("--"))
    return [statement.strip() for statement in re.split(r";[ \t]*$", code, flags=re.MULTILINE) if statement.strip()]


def _check_unchanged(path: Path, applied: str, checksum: str) -> None:
    if applied != checksum:
        raise UserError(
            f"Migration {path.name} has changed since it was applied (checksum {applied[:12]} then, {checksum[:12]}"
            " now); restore the file and put the change in a new one."
        )


def _execute_ddl(session: Session, statement: str) -> None:
    result = session.execute(statement)
    failpoints.reach("migrate.cassandra_statement")
    if not result.response_future.is_schema_agreed:
        raise UserError(
            "Cassandra's nodes did not agree on the schema within a minute;"
            " start all nodes and run the migrations again."
        )


class _MigrationLock:
    """A lock row, inserted by a lightweight transaction, that expires if its owner is killed."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._owner = uuid4()

    def acquire(self) -> None:
        deadline = time.monotonic() + 2 * _LOCK_SECONDS
        while not self._execute(
            f"INSERT INTO schema_lock (name, owner) VALUES ('migrate', %s) IF NOT EXISTS USING TTL {_LOCK_SECONDS}"
        ):
            if time.monotonic() > deadline:
                raise UserError("Another migration of Cassandra has held the lock for minutes; wait for it or stop it.")
            time.sleep(0.2)

    def renew(self) -> None:
        if not self._execute(
            f"UPDATE schema_lock USING TTL {_LOCK_SECONDS} SET owner = %s WHERE name = 'migrate' IF owner = %s", 2
        ):
            raise UserError("This migration of Cassandra was paused for too long and lost its lock; run it again.")

    def close(self) -> None:
        self._execute("DELETE FROM schema_lock WHERE name = 'migrate' IF owner = %s")

    def _execute(self, statement: str, times: int = 1) -> bool:
        """Execute a conditional statement whose parameters are all the owner. Returns whether it was applied."""
        return bool(self._session.execute(statement, (self._owner,) * times).was_applied)
