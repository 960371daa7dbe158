"""A database, topics or a keyspace for a single test on a running server, dropped or emptied at the end."""

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import psycopg2
from cassandra.cluster import Session
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, NewTopic
from pydantic import SecretStr

from insights.clients import connections
from insights.clients.kafka_admin import read_watermarks
from insights.errors import UserError
from insights.local.kafka import KafkaServer
from insights.local.postgres import PostgresServer
from insights.migrations.migrate_cassandra import migrate_cassandra
from insights.settings import CassandraSettings, KafkaSettings, PostgresSettings
from tests.helpers.support import eventually


@contextmanager
def create_database(server: PostgresServer) -> Iterator[PostgresSettings]:
    """Create an empty database."""
    name = _make_unique("test")
    server.create_database(name)
    yield PostgresSettings(
        host=server.host, port=server.port, dbname=name, user=server.user, password=SecretStr(server.password)
    )
    connection = psycopg2.connect(**server.connection())
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute(f"drop database {name} with (force)")
    connection.close()


def name_topics(server: KafkaServer, name: str = "") -> KafkaSettings:
    """Settings with names of topics that do not exist yet: unique ones, or `name.raw` and `name.quarantine`."""
    name = name or _make_unique("users")
    return KafkaSettings(
        bootstrap_servers=server.bootstrap_servers, raw_topic=f"{name}.raw", quarantine_topic=f"{name}.quarantine"
    )


@contextmanager
def create_topics(settings: KafkaSettings) -> Iterator[KafkaSettings]:
    """Create the two topics, with 2 partitions each."""
    admin = AdminClient(settings.client())
    names = [settings.raw_topic, settings.quarantine_topic]
    for created in admin.create_topics([NewTopic(name, 2, 1) for name in names]).values():
        created.result(20)
    eventually(lambda: set(names) <= set(admin.list_topics(timeout=5).topics), message="topics did not appear")
    yield settings
    for deleted in admin.delete_topics(names).values():
        deleted.result(20)


def recreate_topic(settings: KafkaSettings) -> None:
    """Delete the raw topic, and create it again as soon as the broker lets it."""
    admin, topic = AdminClient(settings.client()), settings.raw_topic
    admin.delete_topics([topic])[topic].result(20)
    eventually(lambda: _succeeds(lambda: admin.create_topics([NewTopic(topic, 2, 1)])[topic].result(20)))
    eventually(lambda: _succeeds(lambda: read_watermarks(admin, topic)))


@contextmanager
def name_keyspace(server: Any) -> Iterator[CassandraSettings]:
    """Settings with the name of a keyspace that does not exist yet, and the login of `server`."""
    settings = _make_settings(server)
    yield settings
    cluster = server.connect()
    cluster.connect().execute(f"drop keyspace if exists {settings.keyspace}")
    cluster.shutdown()


def _make_settings(server: Any) -> CassandraSettings:
    return CassandraSettings(
        hosts=server.host,
        port=server.port,
        keyspace=_make_unique("test"),
        local_dc=server.local_dc,
        username=server.user,
        password=SecretStr(server.password),
    )


class Keyspaces:
    """Keyspaces with all migrations applied, each for one test after the other.

    Cassandra needs ten times as long to create and drop the tables as to empty them.
    """

    def __init__(self, server: Any) -> None:
        self._server = server
        self._free: list[tuple[CassandraSettings, _Schema]] = []

    @contextmanager
    def borrow(self) -> Iterator[CassandraSettings]:
        """Settings with the name of an empty keyspace, which no other test has until the end of the `with` block."""
        settings, schema = self._free.pop() if self._free else self._create()
        yield settings
        with connections.open_cassandra(settings) as session:
            if _read_schema(session) == schema:
                for row in schema.tables:
                    if row.table_name != "schema_migrations":
                        session.execute(f"TRUNCATE {row.table_name}")
                self._free.append((settings, schema))

    def _create(self) -> tuple[CassandraSettings, "_Schema"]:
        settings = _make_settings(self._server)
        migrate_cassandra(settings)
        with connections.open_cassandra(settings) as session:
            return settings, _read_schema(session)


class _Schema(NamedTuple):
    """Everything that a test can change in its keyspace besides the contents of the tables."""

    tables: list[Any]
    columns: list[Any]
    types: list[Any]
    migrations: set[Any]


def _read_schema(session: Session) -> _Schema:
    tables, columns, types = (
        list(session.execute(f"SELECT * FROM system_schema.{name} WHERE keyspace_name = %s", (session.keyspace,)))
        for name in ("tables", "columns", "types")
    )
    return _Schema(tables, columns, types, set(session.execute("SELECT name, checksum FROM schema_migrations")))


def _succeeds(request: Callable[[], object]) -> bool:
    try:
        request()
    except (KafkaException, UserError):
        return False
    return True


def _make_unique(prefix: str) -> str:
    return f"{prefix}_{uuid.uuid4().hex[:12]}"
