"""Pages to stage, and what the raw topic then holds."""

import json
import uuid
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from confluent_kafka import Consumer, TopicPartition

from insights.clients import connections
from insights.settings import KafkaSettings, PostgresSettings
from insights.staging.load import load_page


@dataclass(frozen=True)
class MadePage:
    records: list[bytes]
    seed: str = "seed"
    page: int = 1
    api_version: str = "1.4"
    fetched_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    body_sha256: str = "0" * 64
    body_bytes: int = 9


def records(count: int, **fields: Any) -> list[bytes]:
    """Raw records of distinct users."""
    return [raw(str(uuid.uuid4()), **fields) for _ in range(count)]


def raw(user: str, **fields: Any) -> bytes:
    return json.dumps({"login": {"uuid": user}, **fields}, separators=(",", ":")).encode()


def user_of(record: bytes) -> str:
    return str(json.loads(record)["login"]["uuid"])


def stage(postgres: PostgresSettings, made: list[bytes], page: int = 1) -> None:
    with closing(connections.connect_postgres(postgres, "tests")) as connection:
        load_page(connection, MadePage(made, page=page), "dag", "run")


def sql(postgres: PostgresSettings, statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
    """The rows of one statement in a transaction of its own."""
    with (
        closing(connections.connect_postgres(postgres, "tests")) as connection,
        connection,
        connection.cursor() as cursor,
    ):
        cursor.execute(statement, parameters)
        return list(cursor.fetchall()) if cursor.description else []


def published(kafka: KafkaSettings, topic: str | None = None) -> list[Any]:
    """Every message of the raw topic (or another) as it is now."""
    name = topic or kafka.raw_topic
    consumer = Consumer(kafka.client() | {"group.id": "tests", "enable.auto.commit": False})
    try:
        parts = consumer.list_topics(name, timeout=10).topics[name].partitions
        ends = {part: consumer.get_watermark_offsets(TopicPartition(name, part), timeout=10)[1] for part in parts}
        consumer.assign([TopicPartition(name, part, 0) for part in parts])
        messages: list[Any] = []
        wanted = sum(ends.values())
        while len(messages) < wanted:
            message = consumer.poll(10)
            assert message is not None, f"{len(messages)} of {wanted} messages of {name} came"
            assert message.error() is None, message.error()
            messages.append(message)
        return messages
    finally:
        consumer.close()


def published_users(kafka: KafkaSettings) -> Counter[str]:
    """How often each user is on the raw topic."""
    return Counter(message.key().decode() for message in published(kafka))


def headers(message: Any) -> dict[str, str]:
    return {name: value.decode() for name, value in message.headers()}
