"""Read what the stores hold, by their drivers alone."""

import json
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import psycopg2
import psycopg2.extras
from cassandra.auth import PlainTextAuthProvider
from cassandra.cluster import Cluster, Session
from cassandra.query import dict_factory
from confluent_kafka import Consumer, TopicPartition
from psycopg2.extensions import cursor as PgCursor

from tests.fault.flow_state import FlowState, LedgerPage, QuarantineRow, Rows, StagedRow
from tests.helpers.oracle import Message

CASSANDRA_TABLES = ("user_profiles_by_id", "user_summaries_by_country", "user_summaries_by_month", "latest_arrivals")
FETCH_MESSAGES = 1000
BATCH_COLUMNS = "batch_id, fetched, staged, duplicates, quarantined, answer_sha256"
ROW_COLUMNS = "id::text, user_key::text, version, event_time, batch_id, payload::text"


@dataclass(frozen=True)
class StoreAddresses:
    """How to reach the three stores, in the terms of their drivers."""

    postgres: dict[str, Any]
    kafka: dict[str, Any]
    cassandra_host: str
    cassandra_port: int
    keyspace: str = "insights"
    raw_topic: str = "users.raw"
    quarantine_topic: str = "users.quarantine"
    cassandra_login: tuple[str, str] | None = field(default=None, repr=False)


def read_stores(addresses: StoreAddresses) -> FlowState:
    """Read every hop behind the source."""
    state = FlowState()
    with closing(psycopg2.connect(**addresses.postgres)) as connection, connection, connection.cursor() as cursor:
        cursor.execute("SET timezone TO 'UTC'")
        _read_postgres(cursor, state)
    with open_cassandra(addresses) as session:
        for table in CASSANDRA_TABLES:
            state.cassandra[table] = [_normalise(row) for row in session.execute(f"SELECT * FROM {table}")]
        rows = session.execute("SELECT dimension, value, count FROM user_counts")
        state.cassandra_counts = {(row["dimension"], row["value"]): row["count"] for row in rows}
    state.topic = list(read_topic(addresses.kafka, addresses.raw_topic))
    copies = read_topic(addresses.kafka, addresses.quarantine_topic)
    state.quarantine_topic = [(dict(message.headers)["origin"] or b"").decode() for message in copies]
    return state


def _read_postgres(cursor: PgCursor, state: FlowState) -> None:
    cursor.execute(f"SELECT {BATCH_COLUMNS} FROM staging.batches")
    state.pages = [LedgerPage(*row) for row in cursor]
    cursor.execute(f"SELECT {ROW_COLUMNS} FROM staging.users")
    state.staged = [StagedRow(*row)._replace(payload=json.loads(row[-1])) for row in cursor]
    cursor.execute("SELECT event_id, user_id::text FROM analytics.superseded")
    state.superseded = list(cursor)
    cursor.execute("SELECT origin, event_id, reason, payload, sha256 FROM quarantine.records")
    state.quarantine = [
        QuarantineRow(origin, event_id, reason, payload if payload is None else bytes(payload), sha256)
        for origin, event_id, reason, payload, sha256 in cursor
    ]
    cursor.execute("SELECT dimension, value, count FROM analytics.user_counts")
    state.postgres_counts = {(dimension, value): count for dimension, value, count in cursor}
    state.users = read_users(cursor)


def read_users(cursor: PgCursor) -> Rows:
    """The rows of `analytics.users`, without the merge that wrote them."""
    cursor.execute("SELECT * FROM analytics.users")
    names = [column.name for column in cursor.description or ()]
    rows = [_normalise(dict(zip(names, row, strict=True))) for row in cursor]
    return [{name: value for name, value in row.items() if name != "seq"} for row in rows]


@contextmanager
def open_cassandra(addresses: StoreAddresses) -> Iterator[Session]:
    """A session on the keyspace that returns rows as dictionaries."""
    login = addresses.cassandra_login
    cluster = Cluster(
        [addresses.cassandra_host],
        port=addresses.cassandra_port,
        auth_provider=PlainTextAuthProvider(*login) if login else None,
        protocol_version=5,
    )
    try:
        session = cluster.connect(addresses.keyspace)
        session.row_factory = dict_factory
        session.default_timeout = 60
        yield session
    finally:
        cluster.shutdown()


def read_topic(kafka: dict[str, Any], topic: str) -> Iterator[Message]:
    """Every message that a topic holds now, each partition in order."""
    consumer = Consumer(kafka | {"group.id": "fault-checker", "enable.auto.commit": False})
    try:
        for partition in sorted(consumer.list_topics(topic, timeout=20).topics[topic].partitions):
            low, high = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=20)
            consumer.assign([TopicPartition(topic, partition, low)])
            offset = low
            while offset < high:
                messages = consumer.consume(min(high - offset, FETCH_MESSAGES), 30)
                assert messages, f"offset {offset} of {topic}/{partition} was not read"
                for message in messages:
                    assert message.error() is None, message.error()
                    yield _to_message(message)
                offset = messages[-1].offset() + 1
    finally:
        consumer.close()


def _to_message(message: Any) -> Message:
    return Message(
        message.value(),
        message.key(),
        message.topic(),
        message.partition(),
        message.offset(),
        message.timestamp()[1],
        tuple(message.headers() or ()),
    )


def _normalise(row: dict[str, Any]) -> dict[str, Any]:
    """Packed fields as columns, instants with the time zone that Cassandra's driver omits, and ids as text."""
    for packed in row.keys() & {"profile", "summary"}:
        row |= row.pop(packed)._asdict()
    return {name: _normalise_value(value) for name, value in row.items()} | {"user_id": str(row["user_id"])}


def _normalise_value(value: Any) -> Any:
    return value.replace(tzinfo=UTC) if isinstance(value, datetime) and value.tzinfo is None else value
