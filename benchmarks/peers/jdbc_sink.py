"""Debezium's JDBC sink, with its defaults and tuned: upserts of users from a topic of its own."""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

import pyarrow as pa

from benchmarks.common.topics import Topic
from benchmarks.peers.connect import ConnectWorker
from insights.clients import connections
from insights.local.configuration import Configuration
from insights.model.user import User, read_field_types
from insights.settings import KafkaSettings

PLUGIN = "debezium-jdbc"
DEFAULT: dict[str, str] = {}
TUNED = {
    "tasks.max": "2",
    "batch.size": "5000",
    "use.reduction.buffer": "true",
    "consumer.override.max.poll.records": "5000",
}
_TYPES: dict[type, dict[str, Any]] = {
    str: {"type": "string"},
    UUID: {"type": "string", "name": "io.debezium.data.Uuid", "version": 1},
    int: {"type": "int32"},
    float: {"type": "double"},
    bool: {"type": "boolean"},
    datetime: {"type": "int64", "name": "org.apache.kafka.connect.data.Timestamp", "version": 1},
}
_FIELDS = [
    {"field": name, "optional": optional} | ({"type": "int64"} if name == "version" else _TYPES[kind])
    for name, (kind, optional) in read_field_types(User).items()
]
_VALUE_SCHEMA = json.dumps({"type": "struct", "optional": False, "fields": _FIELDS}, separators=(",", ":"))
_KEY_SCHEMA = json.dumps({"type": "struct", "optional": False, "fields": _FIELDS[:1]}, separators=(",", ":"))


def make_worker(
    configuration: Configuration, name: str, connector: Mapping[str, str], url_options: str
) -> ConnectWorker:
    """A worker that writes the topic `name` to the table of the same name in the platform's database."""
    server, database = configuration.postgres, configuration.postgres_settings.dbname
    return ConnectWorker(
        configuration,
        f"connect-{name}",
        PLUGIN,
        {"offset.flush.interval.ms": "1000"},
        {
            "connector.class": "io.debezium.connector.jdbc.JdbcSinkConnector",
            "topics": name,
            "connection.url": f"jdbc:postgresql://{server.host}:{server.port}/{database}{url_options}",
            "connection.username": server.user,
            "connection.password": server.password,
            "insert.mode": "upsert",
            "primary.key.mode": "record_key",
            "schema.evolution": "none",
            "collection.name.format": name,
            "consumer.override.auto.offset.reset": "earliest",
            **connector,
        },
    )


def produce_users(settings: KafkaSettings, topic: Topic, users: pa.Table) -> list[str]:
    """Write users to the topic with their schemas, as the sink needs them. Returns the last user of each partition."""
    producer, last = connections.make_kafka_producer(settings, "benchmark"), {}

    def report(error: Any, message: Any, user: str) -> None:
        if error:
            raise RuntimeError(f"Kafka did not take a user: {error}")
        last[message.partition()] = user

    for row in users.to_pylist():
        user = row["user_id"]
        payload = {
            name: round(value.timestamp() * 1000) if isinstance(value, datetime) else value
            for name, value in row.items()
        }
        value = f'{{"schema":{_VALUE_SCHEMA},"payload":{json.dumps(payload, separators=(",", ":"))}}}'
        key = f'{{"schema":{_KEY_SCHEMA},"payload":{{"user_id":"{user}"}}}}'
        producer.produce(
            topic.name, value, key, on_delivery=lambda error, message, user=user: report(error, message, user)
        )
        producer.poll(0)
    producer.flush()
    return list(last.values())
