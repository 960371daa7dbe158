"""Waiting for the stores: until a server answers, or until it holds every migration of this code."""

import logging
import time
from collections.abc import Callable, Iterable
from contextlib import closing
from pathlib import Path
from typing import TypeVar

import psycopg2

from insights.clients import connections
from insights.errors import NotReadyError, RefusedError, UserError
from insights.migrations import MIGRATIONS
from insights.settings import CassandraSettings, PostgresSettings

T = TypeVar("T")

_log = logging.getLogger(__name__)
_PAUSE_SECONDS = 1.0


def retry_until_ready(store: str, work: Callable[[], T], deadline: float) -> T:
    """The result of `work`, begun again while the store is not ready; `deadline` is of `time.monotonic`.

    Logs what it waits for, once for each cause, and that the store is there.

    Raises:
        UserError: from `work`, at once if it is no `NotReadyError`, else after the deadline.
    """
    told = ""
    while True:
        try:
            result = work()
        except NotReadyError as error:
            if time.monotonic() >= deadline:
                raise
            if str(error) != told:
                told = str(error)
                _log.info("waiting for %s: %s", store, told)
            time.sleep(max(0.0, min(_PAUSE_SECONDS, deadline - time.monotonic())))
        else:
            if told:
                _log.info("%s is there", store)
            return result


def retry_login_refusal(work: Callable[[], T]) -> T:
    """The result of `work` at a store whose logins others may still be making.

    Raises:
        NotReadyError: the store does not let us in, too.
    """
    try:
        return work()
    except RefusedError as error:
        raise NotReadyError(str(error)) from error


def require_postgres(settings: PostgresSettings, folder: Path = MIGRATIONS / "postgres") -> None:
    """Return if every SQL file was applied; more may have been, by a newer version. Reads what any user may read.

    Raises:
        NotReadyError: the server does not answer, does not know our login yet, or lacks a migration.
    """
    where = f"PostgreSQL at {settings.host}:{settings.port}, database {settings.dbname!r},"
    try:
        with closing(connections.connect_postgres(settings, "wait")) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT migration_id FROM public._yoyo_migration")
            applied = {name for (name,) in cursor.fetchall()}
    except RefusedError as error:
        raise NotReadyError(str(error)) from error
    except psycopg2.Error as error:
        raise _unreadable(where, str(error).strip().splitlines()[0], settings.user) from error
    _require(where, (path.stem for path in folder.glob("*.sql")), applied)


def require_cassandra(settings: CassandraSettings, folder: Path = MIGRATIONS / "cassandra") -> None:
    """Return if every CQL file was applied; more may have been, by a newer version. Reads what any user may read.

    Raises:
        NotReadyError: the server does not answer, does not know our login yet, or lacks a migration.
    """
    where = f"Cassandra at {settings.hosts}, keyspace {settings.keyspace!r},"
    try:
        with connections.open_cassandra(settings, use_keyspace=False) as session:
            rows = session.execute(f'SELECT name FROM "{settings.keyspace}".schema_migrations')
            applied = {row.name for row in rows}
    except RefusedError as error:
        raise NotReadyError(str(error)) from error
    except connections.CASSANDRA_ERRORS as error:
        raise _unreadable(where, str(error), settings.username) from error
    _require(where, (path.stem for path in folder.glob("*.cql")), applied)


def _unreadable(where: str, reason: str, user: str | None) -> UserError:
    return NotReadyError(
        f"{where} does not show its migrations to {user or 'us'!r} ({reason}); run jobs/migrate.py, which creates the"
        " tables and grants each user its own, and look at its log."
    )


def _require(where: str, needed: Iterable[str], applied: set[str]) -> None:
    if missing := sorted(set(needed) - applied):
        raise NotReadyError(f"{where} lacks the migrations {', '.join(missing)}; run jobs/migrate.py, see its log.")
