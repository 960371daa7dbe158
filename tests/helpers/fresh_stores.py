"""A database, topics or a keyspace for a single test on a running server, dropped at the end."""

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg2
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, NewTopic
from pydantic import SecretStr

from insights.clients.kafka_admin import read_watermarks
from insights.errors import UserError
from insights.local.kafka import KafkaServer
from insights.local.postgres import PostgresServer
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
    name = _make_unique("test")
    yield CassandraSettings(
        hosts=server.host,
        port=server.port,
        keyspace=name,
        local_dc=server.local_dc,
        username=server.user,
        password=SecretStr(server.password),
    )
    cluster = server.connect()
    cluster.connect().execute(f"drop keyspace if exists {name}")
    cluster.shutdown()


def _succeeds(request: Callable[[], object]) -> bool:
    try:
        request()
    except (KafkaException, UserError):
        return False
    return True


def _make_unique(prefix: str) -> str:
    return f"{prefix}_{uuid.uuid4().hex[:12]}"
