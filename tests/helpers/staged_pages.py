"""Make and stage pages, and read the messages of the raw topic."""

import json
import uuid
from collections import Counter
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from confluent_kafka import Consumer, TopicPartition

from insights.clients import connections
from insights.clients.kafka_admin import get_admin
from insights.model.quarantine import RejectedRecord
from insights.settings import KafkaSettings, PostgresSettings
from insights.staging.load import load_page


@dataclass(frozen=True)
class MadePage:
    """A page of the source."""

    records: list[bytes]
    seed: str = "seed"
    page: int = 1
    api_version: str = "1.4"
    fetched_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    body_sha256: str = "0" * 64
    body_bytes: int = 9
    rejected: list[RejectedRecord] = field(default_factory=list)

    @property
    def batch_id(self) -> str:
        return f"{self.seed}/{self.page}"


def make_records(count: int, **fields: Any) -> list[bytes]:
    """Make raw records of distinct users."""
    return [make_record(str(uuid.uuid4()), **fields) for _ in range(count)]


def make_record(user: str, **fields: Any) -> bytes:
    """Make the raw record of a user."""
    return json.dumps({"login": {"uuid": user}, **fields}, separators=(",", ":")).encode()


def read_user_id(record: bytes) -> str:
    """The `login.uuid` of a raw record."""
    return str(json.loads(record)["login"]["uuid"])


def stage_page(postgres: PostgresSettings, records: list[bytes], page: int = 1) -> None:
    """Load a page of these records."""
    with closing(connections.connect_postgres(postgres, "tests")) as connection:
        load_page(connection, MadePage(records, page=page), "dag", "run")


def run_sql(postgres: PostgresSettings, statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
    """Execute one statement in a transaction of its own. Returns its rows."""
    with closing(connections.connect_postgres(postgres, "tests")) as connection:
        return fetch(connection, statement, *parameters)


def fetch(connection: Any, statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
    """Execute one statement on this connection in a transaction of its own. Returns its rows."""
    with connection, connection.cursor() as cursor:
        cursor.execute(statement, parameters or None)
        return list(cursor.fetchall()) if cursor.description else []


def delete_messages(kafka: KafkaSettings, ends: Mapping[int, int]) -> None:
    """Delete the messages of the raw topic before these offsets, by partition, as retention does."""
    offsets = [TopicPartition(kafka.raw_topic, partition, end) for partition, end in ends.items()]
    for deleted in get_admin(kafka).delete_records(offsets).values():
        deleted.result(20)


def read_topic(kafka: KafkaSettings, topic: str | None = None) -> list[Any]:
    """Read every message that the raw topic (or another) holds now."""
    name = topic or kafka.raw_topic
    consumer = Consumer(kafka.client() | {"group.id": "tests", "enable.auto.commit": False})
    try:
        partitions = consumer.list_topics(name, timeout=10).topics[name].partitions
        ends = {
            number: consumer.get_watermark_offsets(TopicPartition(name, number), timeout=10)[1] for number in partitions
        }
        consumer.assign([TopicPartition(name, number, 0) for number in partitions])
        messages: list[Any] = []
        expected = sum(ends.values())
        while len(messages) < expected:
            message = consumer.poll(10)
            assert message is not None, f"{len(messages)} of {expected} messages of {name} were read"
            assert message.error() is None, message.error()
            messages.append(message)
        return messages
    finally:
        consumer.close()


def count_published_users(kafka: KafkaSettings) -> Counter[str]:
    """The number of messages of each user on the raw topic."""
    return Counter(message.key().decode() for message in read_topic(kafka))


def decode_headers(message: Any) -> dict[str, str]:
    """The headers of a message as text, by name."""
    return {name: value.decode() for name, value in message.headers()}
