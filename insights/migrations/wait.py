"""Require every migration and topic of this version, and tell why a store is not ready for that yet."""

from collections.abc import Callable, Iterable
from contextlib import closing
from pathlib import Path
from typing import TypeVar

import psycopg2

from insights.clients import connections
from insights.errors import NotReadyError, RefusedError, UserError
from insights.migrations import MIGRATIONS
from insights.migrations.kafka_topics import connect_admin
from insights.settings import CassandraSettings, KafkaSettings, PostgresSettings

T = TypeVar("T")


def retry_login_refusal(work: Callable[[], T]) -> T:
    """Call `work` on a store whose logins may not have been created yet, and return its result.

    Raises:
        NotReadyError: raised by `work`, also in place of a `RefusedError`.
    """
    try:
        return work()
    except RefusedError as error:
        raise NotReadyError(str(error)) from error


def require_postgres(settings: PostgresSettings, folder: Path = MIGRATIONS / "postgres") -> None:
    """Check that every SQL file was applied; a newer version may have applied more. Every declared user may read this.

    Raises:
        NotReadyError: the server does not answer, refuses the login (it may not exist yet), or lacks a migration.
    """
    store = f"PostgreSQL at {settings.host}:{settings.port}, database {settings.dbname!r},"
    try:
        with closing(connections.connect_postgres(settings, "wait")) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT migration_id FROM public._yoyo_migration")
            applied = {name for (name,) in cursor.fetchall()}
    except RefusedError as error:
        raise NotReadyError(str(error)) from error
    except psycopg2.Error as error:
        raise _no_access(store, str(error).strip().splitlines()[0], settings.user) from error
    _check_applied(store, (path.stem for path in folder.glob("*.sql")), applied)


def require_cassandra(settings: CassandraSettings, folder: Path = MIGRATIONS / "cassandra") -> None:
    """Check that every CQL file was applied; a newer version may have applied more. Every declared user may read this.

    Raises:
        NotReadyError: the server does not answer, refuses the login (it may not exist yet), or lacks a migration.
    """
    store = f"Cassandra at {settings.hosts}, keyspace {settings.keyspace!r},"
    try:
        with connections.open_cassandra(settings, use_keyspace=False) as session:
            rows = session.execute(f'SELECT name FROM "{settings.keyspace}".schema_migrations')
            applied = {row.name for row in rows}
    except RefusedError as error:
        raise NotReadyError(str(error)) from error
    except connections.CASSANDRA_ERRORS as error:
        raise _no_access(store, str(error), settings.username) from error
    _check_applied(store, (path.stem for path in folder.glob("*.cql")), applied)


def require_kafka(settings: KafkaSettings, timeout_seconds: float = 5) -> None:
    """Check that both topics exist and that each partition has a leader.

    Raises:
        NotReadyError: no broker answers or accepts the login (it may not exist yet), or a topic is incomplete.
    """
    broker = f"Kafka at {settings.bootstrap_servers}"
    try:
        _, metadata = connect_admin(settings, timeout_seconds)
    except RefusedError as error:
        raise NotReadyError(str(error)) from error
    for name in (settings.raw_topic, settings.quarantine_topic):
        topic = metadata.topics.get(name)
        if topic is None or not topic.partitions:
            user = repr(settings.username) if settings.username else "an anonymous client"
            raise NotReadyError(
                f"{broker} has no topic {name!r} that {user} may describe; create it with jobs/migrate.py --topics or"
                " an operator, and check its log."
            )
        if leaderless := sorted(number for number, one in topic.partitions.items() if one.leader < 0):
            raise NotReadyError(
                f"Partition {leaderless[0]} of topic {name!r} on {broker} has no leader; start its brokers."
            )


def _no_access(store: str, reason: str, user: str | None) -> UserError:
    reader = repr(user) if user else "an anonymous client"
    return NotReadyError(
        f"{store} does not let {reader} read its applied migrations ({reason}); run jobs/migrate.py,"
        " which creates the tables and grants the privileges, and check its log."
    )


def _check_applied(store: str, needed: Iterable[str], applied: set[str]) -> None:
    if missing := sorted(set(needed) - applied):
        noun = "migration" if len(missing) == 1 else "migrations"
        raise NotReadyError(f"{store} lacks the {noun} {', '.join(missing)}; run jobs/migrate.py and check its log.")
