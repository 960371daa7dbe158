"""Real servers, started once per session on first use; every test gets a database, topics or keyspace of its own."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from cassandra.auth import PlainTextAuthProvider
from cassandra.cluster import Cluster, Session

from insights.clients import connections
from insights.local.cassandra import CassandraServer
from insights.local.jars import ensure_jars, read_lock
from insights.local.java import find_java
from insights.local.kafka import KafkaServer
from insights.local.postgres import PostgresServer
from insights.local.process import Component
from insights.migrations.migrate_postgres import migrate_postgres
from insights.settings import CassandraSettings, KafkaSettings, LocalSettings, PostgresSettings, StoreSettings, load
from tests.helpers import fresh_stores
from tests.helpers.certificates import write_certificates
from tests.helpers.idle_flow import IdleFlow, create_idle_flow
from tests.helpers.stream_process import Stream
from tests.helpers.support import SHORT_LIVED, free_port
from tests.helpers.warm_spark import WarmSpark, start_spark


class GuardedCassandra(CassandraServer):
    """A node that requires logins and checks permissions, as an external cluster does, and offers TLS.

    Its certificate contains names but, like that of K8ssandra, no address.
    """

    user = password = "cassandra"

    def prepare(self) -> None:
        self.authority = write_certificates(self.state, "node", "cassandra.test", "localhost")
        super().prepare()

    def command(self) -> list[str]:
        java, *arguments = super().command()
        return [java, "-Dcassandra.auth_bcrypt_gensalt_log2_rounds=4", SHORT_LIVED, *arguments]

    def connect(self) -> Cluster:
        cluster = super().connect()
        cluster.auth_provider = PlainTextAuthProvider(self.user, self.password)
        return cluster

    def _build_settings(self) -> dict[str, object]:
        return super()._build_settings() | {
            "authenticator": "PasswordAuthenticator",
            "authorizer": "CassandraAuthorizer",
            "client_encryption_options": {
                "enabled": True,
                "optional": True,
                "keystore": str(self.state / "node.pem"),
                "ssl_context_factory": {"class_name": "org.apache.cassandra.security.PEMBasedSslContextFactory"},
            },
        }


@pytest.fixture(scope="session")
def java() -> Path:
    return find_java(load(LocalSettings).java_home)


@pytest.fixture(scope="session")
def jars(java: Path) -> Path:
    cache = load(LocalSettings).jars
    ensure_jars(read_lock(), cache, java)
    return cache


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    yield from _run_server(PostgresServer(tmp_path_factory.mktemp("servers"), free_port()))


@pytest.fixture(scope="session")
def kafka_server(tmp_path_factory: pytest.TempPathFactory, java: Path, jars: Path) -> Iterator[KafkaServer]:
    home = tmp_path_factory.mktemp("servers")
    yield from _run_server(KafkaServer(home, free_port(), java=java, jars=jars, controller_port=free_port()))


@pytest.fixture(scope="session")
def cassandra_server(tmp_path_factory: pytest.TempPathFactory, java: Path, jars: Path) -> Iterator[GuardedCassandra]:
    home = tmp_path_factory.mktemp("servers")
    yield from _run_server(GuardedCassandra(home, free_port(), java=java, jars=jars, storage_port=free_port()))


@pytest.fixture(scope="session")
def warm_spark(tmp_path_factory: pytest.TempPathFactory, jars: Path) -> Iterator[WarmSpark]:
    with start_spark(jars, tmp_path_factory.mktemp("spark") / "spark.log") as spark:
        yield spark


@pytest.fixture
def empty_postgres(postgres_server: PostgresServer) -> Iterator[PostgresSettings]:
    """A new, empty database."""
    with fresh_stores.create_database(postgres_server) as settings:
        yield settings


@pytest.fixture
def postgres(empty_postgres: PostgresSettings) -> PostgresSettings:
    """A new database with all migrations applied."""
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
    """The broker, with names of topics of the test's own that do not exist yet."""
    return fresh_stores.name_topics(kafka_server)


@pytest.fixture
def kafka(empty_kafka: KafkaSettings) -> Iterator[KafkaSettings]:
    """The broker, with two topics of the test's own, of 2 partitions each."""
    with fresh_stores.create_topics(empty_kafka) as settings:
        yield settings


@pytest.fixture
def empty_cassandra(cassandra_server: GuardedCassandra) -> Iterator[CassandraSettings]:
    """The node, with the name of a keyspace of the test's own that does not exist yet."""
    with fresh_stores.name_keyspace(cassandra_server) as settings:
        yield settings


@pytest.fixture(scope="session")
def keyspaces(cassandra_server: GuardedCassandra) -> fresh_stores.Keyspaces:
    return fresh_stores.Keyspaces(cassandra_server)


@pytest.fixture
def cassandra(keyspaces: fresh_stores.Keyspaces) -> Iterator[CassandraSettings]:
    """A keyspace with all migrations applied and no rows."""
    with keyspaces.borrow() as settings:
        yield settings


@pytest.fixture
def session(cassandra: CassandraSettings) -> Iterator[Session]:
    """A session in the test's keyspace."""
    with connections.open_cassandra(cassandra) as opened:
        yield opened


@pytest.fixture
def stores(postgres: PostgresSettings, kafka: KafkaSettings, cassandra: CassandraSettings) -> StoreSettings:
    return StoreSettings(postgres, kafka, cassandra)


@pytest.fixture
def stream(tmp_path: Path, jars: Path, stores: StoreSettings, warm_spark: WarmSpark) -> Stream:
    """The job of the stream, in the session's JVM."""
    return Stream(tmp_path, jars, stores.postgres, stores.kafka, stores.cassandra, warm_spark)


@pytest.fixture
def flow(stores: StoreSettings) -> IdleFlow:
    return create_idle_flow(stores)


@pytest.fixture(scope="module")
def topic_name() -> str:
    """The prefix of the names of a module's own topics; unique unless a module overrides it."""
    return ""


@pytest.fixture(scope="module")
def own_stores(
    postgres_server: PostgresServer, kafka_server: KafkaServer, keyspaces: fresh_stores.Keyspaces, topic_name: str
) -> Iterator[StoreSettings]:
    """A database, topics and a keyspace that all tests of a module share."""
    with (
        fresh_stores.create_database(postgres_server) as postgres,
        fresh_stores.create_topics(fresh_stores.name_topics(kafka_server, topic_name)) as kafka,
        keyspaces.borrow() as cassandra,
    ):
        migrate_postgres(postgres)
        yield StoreSettings(postgres, kafka, cassandra)


def _run_server(server: Component) -> Iterator[Any]:
    server.start()
    try:
        server.wait_ready(300)
        yield server
    finally:
        server.stop()
