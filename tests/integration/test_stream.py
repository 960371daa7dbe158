"""The streaming job as a process on real servers: crashes at each stage, poison messages, replays and failures."""

import json
import shutil
from collections import Counter
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType
from psycopg2.extensions import connection as PgConnection

from insights.clients import connections
from insights.model.message import Headers, RawMessage
from insights.settings import CassandraSettings, KafkaSettings, PostgresSettings
from tests.helpers.staged_pages import fetch
from tests.helpers.stream_process import (
    CRASHED,
    Stream,
    assert_cassandra_equals,
    read_postgres_counts,
    read_postgres_users,
)

FETCHED = datetime(2026, 3, 1, 12, tzinfo=UTC)
LARGE = 10 * 1024 * 1024


def make_record(user_id: UUID, **fields: Any) -> dict[str, Any]:
    return {
        "gender": "female",
        "name": {"title": "Ms", "first": "Aada", "last": f"User {user_id.int}"},
        "location": {
            "street": {"number": 1, "name": "Main St"},
            "city": "Paris",
            "state": "Texas",
            "country": "United States",
            "postcode": 75460,
            "coordinates": {"latitude": "33.66", "longitude": "-95.55"},
            "timezone": {"offset": "-6:00", "description": "Central Time"},
        },
        "email": f"user{user_id.int}@example.com",
        "login": {"uuid": str(user_id), "username": "aada"},
        "dob": {"date": "1990-05-06T07:08:09.123Z", "age": 35},
        "registered": {"date": "2015-02-03T04:05:06.007Z", "age": 11},
        "phone": "(903) 555-0123",
        "cell": "(903) 555-0124",
        "nat": "US",
    } | fields


def make_message(number: int, version: int = 1_000_000, **fields: Any) -> RawMessage:
    """Return the message of user `number`. Its event id is `number` followed by the version in millions."""
    user_id = UUID(int=(number % 16 << 124) + number + 1)
    event_id = f"{number}{version // 1_000_000:03d}"
    value = json.dumps(make_record(user_id, **fields)).encode()
    return RawMessage(event_id, user_id, value, "page", version + number, FETCHED)


def make_poison() -> dict[str, tuple[bytes | None, str]]:
    """Return values and the reasons for which they are rejected, by event id."""
    text = json.dumps(make_record(UUID(int=99)))
    return {
        "9001": (b'{"gender": "female"', "SCHEMA"),
        "9002": (text.replace("Aada", "\udcff").encode(errors="surrogateescape"), "ENCODING"),
        "9003": (None, "SCHEMA"),
        "9004": (json.dumps(make_record(UUID(int=99)) | {"name": 7}).encode(), "SCHEMA"),
        "9005": (b"[" * 5000 + b"]" * 5000, "SCHEMA"),
        "9006": (json.dumps(make_record(UUID(int=99), dob={"date": 2**63})).encode(), "BAD_DATE"),
        "9007": (text.replace('"33.66"', "NaN").encode(), "SCHEMA"),
        "9008": (b"x" * LARGE, "TOO_LARGE"),
        "9009": (text.encode(), "BAD_KEY"),
    }


def make_large() -> dict[str, tuple[bytes | None, str]]:
    """Return like `make_poison` values that do not fit in the stream's memory together."""
    return {str(9100 + number): (b"x" * LARGE, "TOO_LARGE") for number in range(60)}


class Topic:
    """The raw topic, with messages like those of the publisher and others."""

    def __init__(self, kafka: KafkaSettings) -> None:
        self._kafka = kafka
        admin = AdminClient(kafka.client())
        for topic in (kafka.raw_topic, kafka.quarantine_topic):
            size = ConfigEntry("max.message.bytes", str(2 * LARGE), incremental_operation=AlterConfigOpType.SET)
            resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[size])
            for altered in admin.incremental_alter_configs([resource]).values():
                altered.result(20)
        self._producer = connections.make_kafka_producer(kafka, "tests", {"message.max.bytes": 2 * LARGE})

    def send(self, messages: list[RawMessage]) -> None:
        for message in messages:
            self._produce(str(message.key).encode(), message.value, message.headers())
        self._producer.flush(30)

    def send_poison(self, values: dict[str, tuple[bytes | None, str]]) -> None:
        for event_id, (value, _) in values.items():
            headers = RawMessage(event_id, UUID(int=99), b"", "page", 5, FETCHED).headers()
            key = b"" if event_id == "9009" else str(UUID(int=99)).encode()
            self._produce(key, value, headers)
        self._producer.flush(30)

    def count_quarantined(self) -> Counter[str]:
        """Return how often each origin is on the quarantine topic."""
        origins: Counter[str] = Counter()
        consumer = Consumer(self._kafka.client() | {"group.id": "tests", "fetch.message.max.bytes": 2 * LARGE})
        with closing(consumer):
            for partition in range(2):
                start = TopicPartition(self._kafka.quarantine_topic, partition, 0)
                _, end = consumer.get_watermark_offsets(start, 10)
                consumer.assign([start])
                for message in consumer.consume(end, 20) if end else []:
                    origins[dict(message.headers())["origin"].decode()] += 1
        return origins

    def _produce(self, key: bytes, value: bytes | None, headers: Headers) -> None:
        self._producer.produce(self._kafka.raw_topic, value, key, headers=headers)
        self._producer.poll(0)


@pytest.fixture
def topic(kafka: KafkaSettings) -> Topic:
    return Topic(kafka)


@pytest.fixture
def cold_stream(
    tmp_path: Path, jars: Path, postgres: PostgresSettings, kafka: KafkaSettings, cassandra: CassandraSettings
) -> Stream:
    return Stream(tmp_path, jars, postgres, kafka, cassandra)


def list_batches(connection: PgConnection) -> list[tuple[Any, ...]]:
    return fetch(connection, "SELECT batch_id, seq, inserted, served_at IS NULL FROM analytics.batches ORDER BY seq")


def read_quarantine(connection: PgConnection) -> dict[str, str]:
    rows = fetch(connection, "SELECT event_id, reason FROM quarantine.records")
    assert len(rows) == len(dict(rows)), "a record is in quarantine more than once"
    return dict(rows)


def test_after_crashes_poison_and_replays_every_record_is_delivered_once(
    stream: Stream, topic: Topic, connection: PgConnection, cassandra: CassandraSettings
) -> None:
    bad = make_poison()
    topic.send([make_message(number) for number in range(20)])
    topic.send_poison(bad)
    topic.send([make_message(number) for number in range(20, 40)])

    assert stream.crash_at("sinks.delivery", "write_merged") == CRASHED
    assert list_batches(connection) == [(0, *list_batches(connection)[0][1:3], True)]
    merged = read_postgres_users(connection), read_quarantine(connection)
    assert len(merged[0]) == 40
    assert merged[1] == {event_id: reason for event_id, (_, reason) in bad.items()}

    assert stream.crash_at("sinks.quarantine_topic", "produce_copies") == CRASHED
    assert stream.crash_at("stream.metrics", "StreamMetrics.record_batch") == CRASHED
    assert len(list_batches(connection)) == 1

    large = make_large()
    topic.send_poison(large)
    topic.send([make_message(1, 3_000_000, nat="DE"), make_message(2, 3_000_000), make_message(2, 2_000_000, nat="FR")])
    with stream.running() as running:
        running.wait(lambda: running.metric("last_batch_id") >= 1)
        assert running.get("/healthz") == running.get("/readyz") == "ok\n"
        topic.send(
            [make_message(1, 2_000_000, nat="FR"), make_message(3, 2_000_000, registered="2016-01-01T00:00:00Z")]
        )
        running.wait(lambda: running.metric("last_batch_id") >= 2)

    users, counts = read_postgres_users(connection), read_postgres_counts(connection)
    quarantined = merged[1] | {event_id: reason for event_id, (_, reason) in large.items()}
    assert read_quarantine(connection) == quarantined
    assert [users[make_message(n).key]["country_code"] for n in (1, 2, 3)] == ["DE", "US", "US"]
    assert users[make_message(3).key]["registered_month"] == "2016-01"
    assert sum(count for (dimension, _), count in counts.items() if dimension == "gender") == len(users)
    assert_cassandra_equals(cassandra, users, counts)
    origins = {origin for (origin,) in fetch(connection, "SELECT origin FROM quarantine.records")}
    assert set(topic.count_quarantined()) == origins

    superseded = fetch(connection, "SELECT event_id, superseded_by FROM analytics.superseded ORDER BY event_id")
    assert {event for event, _ in superseded} == {"1001", "1002", "2001", "2002", "3001"}
    shutil.rmtree(stream.checkpoint)
    with stream.running() as running:
        running.wait(lambda: running.metric("last_served_timestamp_seconds") > 0)
        running.wait(lambda: not any(undelivered for *_, undelivered in list_batches(connection)))
    assert (read_postgres_users(connection), read_postgres_counts(connection)) == (users, counts)
    assert fetch(connection, "SELECT event_id, superseded_by FROM analytics.superseded ORDER BY event_id") == superseded
    assert read_quarantine(connection) == quarantined
    assert_cassandra_equals(cassandra, users, counts)


def test_a_failed_query_ends_the_process_with_a_readable_error(stream: Stream, topic: Topic) -> None:
    topic.send([make_message(1)])
    code, message = stream.run_until_failure(INSIGHTS_CASSANDRA_KEYSPACE="no_such_keyspace")
    assert code == 1
    assert message.startswith("error: ")
    assert "no_such_keyspace" in message

    assert stream.crash_at("sinks.delivery", "write_merged") == CRASHED
    offsets = stream.checkpoint / "offsets" / "0"
    offsets.write_text("")
    (offsets.parent / ".0.crc").unlink()
    code, message = stream.run_until_failure()
    assert code == 1
    assert message.startswith("error: ")
    assert f"The checkpoint {stream.checkpoint} is damaged" in message


def test_missing_java_or_jars_are_named(cold_stream: Stream, tmp_path: Path) -> None:
    code, message = cold_stream.run_until_failure(INSIGHTS_STREAM_JARS=str(tmp_path / "connector.jar"))
    assert (code, message) == (
        1,
        f"error: The jar {tmp_path}/connector.jar does not exist: set INSIGHTS_STREAM_JARS to Spark's Kafka connector.",
    )
    code, message = cold_stream.run_until_failure(JAVA_HOME=str(tmp_path), PATH="/nowhere")
    assert (code, message) == (1, "error: Java did not start: install Java 17 or 21, or set JAVA_HOME to one.")
