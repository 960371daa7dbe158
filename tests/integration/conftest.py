"""Real servers, started once a session when first needed; every test gets a database, topics or keyspace of its own."""

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from cassandra.auth import PlainTextAuthProvider
from cassandra.cluster import Cluster
from confluent_kafka.admin import AdminClient, NewTopic
from pydantic import SecretStr

from insights.local.cassandra import CassandraServer
from insights.local.jars import ensure, read_lock
from insights.local.java import find_java
from insights.local.kafka import KafkaServer
from insights.local.postgres import PostgresServer
from insights.local.process import Component
from insights.settings import CassandraSettings, KafkaSettings, LocalSettings, PostgresSettings, load
from tests.support import eventually, free_port


class GuardedCassandra(CassandraServer):
    """A node that asks for logins and knows permissions, as in a cluster of others."""

    user = password = "cassandra"

    def command(self) -> list[str]:
        java, *arguments = super().command()
        return [java, "-Dcassandra.auth_bcrypt_gensalt_log2_rounds=4", *arguments]

    def connect(self) -> Cluster:
        cluster = super().connect()
        cluster.auth_provider = PlainTextAuthProvider(self.user, self.password)
        return cluster

    def _settings(self) -> dict[str, object]:
        return super()._settings() | {"authenticator": "PasswordAuthenticator", "authorizer": "CassandraAuthorizer"}


@pytest.fixture(scope="session")
def java() -> Path:
    return find_java(load(LocalSettings).java_home)


@pytest.fixture(scope="session")
def jars(java: Path) -> Path:
    cache = load(LocalSettings).jars
    ensure(read_lock(), cache, java)
    return cache


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    yield from _served(PostgresServer(tmp_path_factory.mktemp("servers"), free_port()))


@pytest.fixture(scope="session")
def kafka_server(tmp_path_factory: pytest.TempPathFactory, java: Path, jars: Path) -> Iterator[KafkaServer]:
    home = tmp_path_factory.mktemp("servers")
    yield from _served(KafkaServer(home, free_port(), java=java, jars=jars, controller_port=free_port()))


@pytest.fixture(scope="session")
def cassandra_server(tmp_path_factory: pytest.TempPathFactory, java: Path, jars: Path) -> Iterator[GuardedCassandra]:
    home = tmp_path_factory.mktemp("servers")
    yield from _served(GuardedCassandra(home, free_port(), java=java, jars=jars, storage_port=free_port()))


@pytest.fixture
def empty_postgres(postgres_server: PostgresServer) -> Iterator[PostgresSettings]:
    """A fresh database without any table of ours."""
    name = _unique("test")
    postgres_server.create_database(name)
    yield PostgresSettings(
        host=postgres_server.host,
        port=postgres_server.port,
        dbname=name,
        user=postgres_server.user,
        password=SecretStr(postgres_server.password),
    )
    connection = psycopg2.connect(**postgres_server.connection())
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute(f"drop database {name} with (force)")
    connection.close()


@pytest.fixture
def postgres(empty_postgres: PostgresSettings) -> PostgresSettings:
    """A fresh database with the project's migrations."""
    from insights.migrate import migrate_postgres

    migrate_postgres(empty_postgres)
    return empty_postgres


@pytest.fixture
def connection(postgres: PostgresSettings) -> Iterator[Any]:
    """A connection to the test's database."""
    opened = psycopg2.connect(**postgres.connection("tests"))
    yield opened
    opened.close()


@pytest.fixture
def empty_kafka(kafka_server: KafkaServer) -> KafkaSettings:
    """The broker with topic names of the test's own, which do not exist yet."""
    name = _unique("users")
    return KafkaSettings(
        bootstrap_servers=kafka_server.bootstrap_servers,
        raw_topic=f"{name}.raw",
        quarantine_topic=f"{name}.quarantine",
    )


@pytest.fixture
def kafka(empty_kafka: KafkaSettings) -> Iterator[KafkaSettings]:
    """The broker with the test's two topics, of 2 partitions each."""
    admin = AdminClient(empty_kafka.client())
    topics = [empty_kafka.raw_topic, empty_kafka.quarantine_topic]
    for created in admin.create_topics([NewTopic(topic, 2, 1) for topic in topics]).values():
        created.result(20)
    eventually(lambda: set(topics) <= set(admin.list_topics(timeout=5).topics), message="topics did not appear")
    yield empty_kafka
    for deleted in admin.delete_topics(topics).values():
        deleted.result(20)


@pytest.fixture
def empty_cassandra(cassandra_server: GuardedCassandra) -> Iterator[CassandraSettings]:
    """The node with a keyspace name of the test's own, which does not exist yet."""
    name = _unique("test")
    yield CassandraSettings(
        hosts=cassandra_server.host,
        port=cassandra_server.port,
        keyspace=name,
        local_dc=cassandra_server.local_dc,
        username=cassandra_server.user,
        password=SecretStr(cassandra_server.password),
    )
    cluster = cassandra_server.connect()
    cluster.connect().execute(f"drop keyspace if exists {name}")
    cluster.shutdown()


@pytest.fixture
def cassandra(empty_cassandra: CassandraSettings) -> CassandraSettings:
    """A fresh keyspace with the project's migrations."""
    from insights.migrate import migrate_cassandra

    migrate_cassandra(empty_cassandra)
    return empty_cassandra


def _served(server: Component) -> Iterator[Any]:
    server.start()
    try:
        server.wait_ready(90)
        yield server
    finally:
        server.stop()


def _unique(prefix: str) -> str:
    return f"{prefix}_{uuid.uuid4().hex[:12]}"
