"""A database, topics or a keyspace of one's own on a running server, gone at the end."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg2
from confluent_kafka.admin import AdminClient, NewTopic
from pydantic import SecretStr

from insights.local.kafka import KafkaServer
from insights.local.postgres import PostgresServer
from insights.settings import CassandraSettings, KafkaSettings, PostgresSettings
from tests.helpers.support import eventually


@contextmanager
def database(server: PostgresServer) -> Iterator[PostgresSettings]:
    """A database without any table of ours."""
    name = _unique("test")
    server.create_database(name)
    yield PostgresSettings(
        host=server.host, port=server.port, dbname=name, user=server.user, password=SecretStr(server.password)
    )
    connection = psycopg2.connect(**server.connection())
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute(f"drop database {name} with (force)")
    connection.close()


def topic_names(server: KafkaServer, name: str = "") -> KafkaSettings:
    """Names of topics that do not exist yet; unique ones, or `name.raw` and `name.quarantine`."""
    name = name or _unique("users")
    return KafkaSettings(
        bootstrap_servers=server.bootstrap_servers, raw_topic=f"{name}.raw", quarantine_topic=f"{name}.quarantine"
    )


@contextmanager
def topics(settings: KafkaSettings) -> Iterator[KafkaSettings]:
    """The two topics, of 2 partitions each."""
    admin = AdminClient(settings.client())
    names = [settings.raw_topic, settings.quarantine_topic]
    for created in admin.create_topics([NewTopic(name, 2, 1) for name in names]).values():
        created.result(20)
    eventually(lambda: set(names) <= set(admin.list_topics(timeout=5).topics), message="topics did not appear")
    yield settings
    for deleted in admin.delete_topics(names).values():
        deleted.result(20)


@contextmanager
def keyspace(server: Any) -> Iterator[CassandraSettings]:
    """The name of a keyspace that does not exist yet, on a node that asks for `server.user`."""
    name = _unique("test")
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


def _unique(prefix: str) -> str:
    return f"{prefix}_{uuid.uuid4().hex[:12]}"
