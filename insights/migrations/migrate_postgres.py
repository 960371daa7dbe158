"""Apply PostgreSQL's migrations with yoyo."""

import logging
from contextlib import closing, nullcontext
from pathlib import Path
from typing import Any

import psycopg2
from psycopg2.extensions import connection as PgConnection
from yoyo import read_migrations
from yoyo.backends.core.postgresql import PostgresqlBackend
from yoyo.connections import DatabaseURI

from insights import failpoints
from insights.clients import connections
from insights.errors import NotReadyError, UserError
from insights.migrations import MIGRATIONS
from insights.settings import PostgresSettings

_log = logging.getLogger(__name__)


def migrate_postgres(settings: PostgresSettings, folder: Path = MIGRATIONS / "postgres") -> list[str]:
    """Apply the SQL files that are new, in order, each in one transaction that also records it. Returns their names.

    Concurrent runs serialise on an advisory lock.

    Raises:
        NotReadyError: the server does not answer, or stopped answering in the middle.
        UserError: the server refuses the login or rejects a migration.
    """
    with closing(connections.connect_postgres(settings, "migrate")) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_lock(hashtextextended('insights.migrate', 0))")
        try:
            return _apply_files(_Backend(connection), folder)
        except (psycopg2.OperationalError, psycopg2.InterfaceError) as error:
            raise NotReadyError(
                f"PostgreSQL failed during a migration of database {settings.dbname!r} ({str(error).strip()});"
                " check that it is running and run the migrations again."
            ) from error
        except psycopg2.Error as error:
            raise UserError(
                f"PostgreSQL rejected a migration of database {settings.dbname!r} ({str(error).strip()});"
                " fix the cause and run the migrations again."
            ) from error


class _Backend(PostgresqlBackend):  # type: ignore[misc]
    """A yoyo backend on an open connection, so that the password need not be part of a URL."""

    def __init__(self, connection: PgConnection) -> None:
        self._open_connection = connection
        super().__init__(DatabaseURI("postgresql", None, None, None, None, None, {}), "_yoyo_migration")

    def connect(self, _: Any) -> Any:
        return self._open_connection

    def copy(self) -> Any:
        return nullcontext(self)

    def log_migration(self, *_: object) -> None:
        """Do nothing: yoyo's log needs a user name of the operating system, which a container may not have."""


def _apply_files(backend: _Backend, folder: Path) -> list[str]:
    backend.init_database()
    backend.break_lock()  # Left by a killed run: the advisory lock proves that no other run is alive.
    migrations = backend.to_apply(read_migrations(str(folder)))
    for migration in migrations:
        with backend.transaction():
            backend.apply_one(migration)
        failpoints.reach("migrate.postgres_file")
        _log.info("applied %s to PostgreSQL", migration.id)
    return [migration.id for migration in migrations]
