"""Bring the stores to the version of this code: PostgreSQL by yoyo, Cassandra by the files here, Kafka's topics."""

import hashlib
import logging
import re
import time
from contextlib import closing, nullcontext
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, uuid4, uuid5

import psycopg2
from cassandra import InvalidRequest
from cassandra.protocol import SyntaxException
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    ResourceType,
)
from yoyo import read_migrations
from yoyo.backends.core.postgresql import PostgresqlBackend
from yoyo.connections import DatabaseURI

from insights.clients import connections
from insights.errors import NotReadyError, RefusedError, UserError
from insights.settings import CassandraSettings, KafkaSettings, PostgresSettings

MIGRATIONS = Path(__file__).parent / "migrations"

_log = logging.getLogger(__name__)
_LOCK_SECONDS = 120
"""Time to live of the lock on Cassandra's migrations, renewed before each statement."""


def migrate_postgres(settings: PostgresSettings, folder: Path = MIGRATIONS / "postgres") -> list[str]:
    """Apply the SQL files that are new, each in one transaction with its mark. Returns their names.

    Runs at the same time wait for each other.

    Raises:
        NotReadyError: no server answers.
        UserError: it refuses us or a migration.
    """
    with closing(connections.postgres(settings, "migrate")) as connection:
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


def migrate_cassandra(settings: CassandraSettings, folder: Path = MIGRATIONS / "cassandra") -> list[str]:
    """Create the keyspace if absent and apply the CQL files that are new, in order. Returns their names.

    A file is marked after its last statement and run again if interrupted, so its statements must be repeatable
    (`IF NOT EXISTS`). Runs at the same time wait for each other.

    Raises:
        NotReadyError: no server answers.
        UserError: it refuses us or a statement, or an applied file has changed.
    """
    with connections.cassandra(settings, use_keyspace=False) as session:
        session.cluster.max_schema_agreement_wait = 60
        try:
            session.execute(
                f'CREATE KEYSPACE IF NOT EXISTS "{settings.keyspace}" WITH replication = {settings.replication}'
            )
            session.set_keyspace(settings.keyspace)
            _create_bookkeeping(session, settings.keyspace)
            return _apply_cassandra(session, folder)
        except (InvalidRequest, SyntaxException) as error:
            raise UserError(
                f"Cassandra refused a migration of keyspace {settings.keyspace!r} ({error});"
                " check INSIGHTS_CASSANDRA_REPLICATION and run the migrations again."
            ) from error
        except connections.CASSANDRA_ERRORS as error:
            raise UserError(
                f"Cassandra did not finish a migration of keyspace {settings.keyspace!r} ({error});"
                " check that its nodes run and run the migrations again."
            ) from error


def ensure_topics(settings: KafkaSettings, timeout_seconds: float = 30) -> list[str]:
    """Create the platform's topics where absent, and give those that exist the settings' largest message size.

    Partitions of an existing topic stay as they are: adding some would move keys. Returns the names created.

    Raises:
        NotReadyError: no broker answers.
        RefusedError: it does not let us in.
        UserError: it does not set the topics up.
    """
    errors: list[KafkaError] = []
    admin = AdminClient(settings.client() | {"log_level": 0, "error_cb": errors.append})
    names = (settings.raw_topic, settings.quarantine_topic)
    size = str(settings.max_message_bytes)
    topics = [
        NewTopic(name, settings.partitions, settings.replication_factor, config={"max.message.bytes": size})
        for name in names
    ]
    where = f"Kafka at {settings.bootstrap_servers}"
    remedy = "check that it runs and the INSIGHTS_KAFKA_* variables"
    try:
        admin.list_topics(timeout=timeout_seconds)
    except KafkaException as error:
        admin.poll(0)
        for told in errors:
            if told.code() == KafkaError._AUTHENTICATION:
                raise RefusedError(
                    f"{where} did not let {settings.username!r} in ({told.str()}); check INSIGHTS_KAFKA_USERNAME and"
                    " INSIGHTS_KAFKA_PASSWORD."
                ) from error
        reason = next((told.str() for told in errors if told.code() == KafkaError._SSL), error.args[0].str())
        raise NotReadyError(f"{where} does not answer ({reason}); {remedy}.") from error
    try:
        futures = admin.create_topics(topics, operation_timeout=timeout_seconds, request_timeout=timeout_seconds)
        created = [name for name in names if _created(futures[name])]
        if existing := [_size_limit(name, size) for name in names if name not in created]:
            for future in admin.incremental_alter_configs(existing, request_timeout=timeout_seconds).values():
                future.result()
    except KafkaException as error:
        raise UserError(
            f"{where} did not set up topics {' and '.join(names)} ({error.args[0].str()}); {remedy}."
        ) from error
    return created


class _Backend(PostgresqlBackend):  # type: ignore[misc]
    """yoyo on a connection of ours, so that no password passes through a URL."""

    def __init__(self, connection: Any) -> None:
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


def _create_bookkeeping(session: Any, keyspace: str) -> None:
    """Tables with ids that follow from the keyspace: two nodes that create one at the same time create the same."""
    for name, columns in (
        ("schema_migrations", "name text PRIMARY KEY, checksum text, applied_at timestamp"),
        ("schema_lock", "name text PRIMARY KEY, owner uuid"),
    ):
        table_id = uuid5(NAMESPACE_URL, f"user-insights/{keyspace}/{name}")
        session.execute(f"CREATE TABLE IF NOT EXISTS {name} ({columns}) WITH ID = {table_id}")


def _apply_cassandra(session: Any, folder: Path) -> list[str]:
    applied = []
    with closing(_SchemaLock(session)) as lock:
        lock.take()
        known = {row.name: row.checksum for row in session.execute("SELECT name, checksum FROM schema_migrations")}
        for path in sorted(folder.glob("*.cql")):
            text = path.read_text(encoding="utf-8")
            checksum = hashlib.sha256(text.encode()).hexdigest()
            if path.stem in known:
                _refuse_change(path, known[path.stem], checksum)
                continue
            for statement in cql_statements(text):
                lock.renew()
                _execute_schema(session, statement)
            session.execute(
                "INSERT INTO schema_migrations (name, checksum, applied_at) VALUES (%s, %s, toTimestamp(now()))",
                (path.stem, checksum),
            )
            _log.info("applied %s to Cassandra", path.stem)
            applied.append(path.stem)
    return applied


def cql_statements(text: str) -> list[str]:
    """The statements of a CQL file: ended by `;` at the end of a line, `--` lines dropped."""
    code = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("--"))
    return [statement.strip() for statement in re.split(r";[ \t]*$", code, flags=re.MULTILINE) if statement.strip()]


def _refuse_change(path: Path, applied: str, checksum: str) -> None:
    if applied != checksum:
        raise UserError(
            f"Migration {path.name} has changed since it was applied (checksum {applied[:12]} then, {checksum[:12]}"
            " now); restore the file and put the change in a new one."
        )


def _execute_schema(session: Any, statement: str) -> None:
    result = session.execute(statement)
    if not result.response_future.is_schema_agreed:
        raise UserError(
            "Cassandra's nodes do not agree on the schema after a minute;"
            " bring all of them up and run the migrations again."
        )


class _SchemaLock:
    """One migration at a time, by a row that only one can insert and that expires with a killed owner."""

    def __init__(self, session: Any) -> None:
        self._session = session
        self._owner = uuid4()

    def take(self) -> None:
        deadline = time.monotonic() + 2 * _LOCK_SECONDS
        while not self._applied(
            f"INSERT INTO schema_lock (name, owner) VALUES ('migrate', %s) IF NOT EXISTS USING TTL {_LOCK_SECONDS}"
        ):
            if time.monotonic() > deadline:
                raise UserError("Another migration of Cassandra has held its lock for minutes; wait for it or stop it.")
            time.sleep(0.2)

    def renew(self) -> None:
        if not self._applied(
            f"UPDATE schema_lock USING TTL {_LOCK_SECONDS} SET owner = %s WHERE name = 'migrate' IF owner = %s", 2
        ):
            raise UserError("This migration of Cassandra lost its lock, having paused too long; run it again.")

    def close(self) -> None:
        self._applied("DELETE FROM schema_lock WHERE name = 'migrate' IF owner = %s")

    def _applied(self, statement: str, times: int = 1) -> bool:
        return bool(self._session.execute(statement, (self._owner,) * times).was_applied)


def _created(future: Any) -> bool:
    try:
        future.result()
    except KafkaException as error:
        if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
            raise
        return False
    return True


def _size_limit(topic: str, size: str) -> Any:
    entry = ConfigEntry("max.message.bytes", size, incremental_operation=AlterConfigOpType.SET)
    return ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
