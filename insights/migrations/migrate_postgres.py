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

from insights.clients import connections
from insights.errors import UserError
from insights.migrations import MIGRATIONS
from insights.settings import PostgresSettings

_log = logging.getLogger(__name__)


def migrate_postgres(settings: PostgresSettings, folder: Path = MIGRATIONS / "postgres") -> list[str]:
    """Apply the SQL files that are new, each in one transaction with its mark. Returns their names.

    Runs at the same time wait for each other.

    Raises:
        NotReadyError: no server answers.
        UserError: it refuses us or a migration.
    """
    with closing(connections.connect_postgres(settings, "migrate")) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_lock(hashtextextended('insights.migrate', 0))")
        try:
            return _apply_postgres(_Backend(connection), folder)
        except psycopg2.Error as error:
            raise UserError(
                f"PostgreSQL refused a migration of database {settings.dbname!r} ({str(error).strip()});"
                " mend the cause and run the migrations again."
            ) from error


class _Backend(PostgresqlBackend):  # type: ignore[misc]
    """yoyo on a connection of ours, so that no password passes through a URL."""

    def __init__(self, connection: PgConnection) -> None:
        self._given = connection
        super().__init__(DatabaseURI("postgresql", None, None, None, None, None, {}), "_yoyo_migration")

    def connect(self, _: Any) -> Any:
        return self._given

    def copy(self) -> Any:
        return nullcontext(self)

    def log_migration(self, *_: object) -> None:
        """Nothing: yoyo's log asks for the operating system's user, whom a container need not have."""


def _apply_postgres(backend: Any, folder: Path) -> list[str]:
    backend.init_database()
    backend.break_lock()  # Left by a killed run: the advisory lock says that no other is alive.
    migrations = backend.to_apply(read_migrations(str(folder)))
    for migration in migrations:
        with backend.transaction():
            backend.apply_one(migration)
        _log.info("applied %s to PostgreSQL", migration.id)
    return [migration.id for migration in migrations]
