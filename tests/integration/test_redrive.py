"""Re-drive and replay on real servers: what is published again, with which key, version and headers."""

import tracemalloc
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from confluent_kafka import Consumer, TopicPartition

from insights.clients import connections
from insights.clients.kafka_admin import get_admin, read_watermarks
from insights.clients.kafka_produce import republish
from insights.errors import UserError
from insights.model.reasons import Reason
from insights.repair.redrive import FETCH_ROWS, MAX_REDRIVES, RedriveSelection, prepare_redrive
from insights.repair.replay import ReplayPeriod, count_by_day, replay
from insights.settings import KafkaSettings, PostgresSettings
from tests.helpers.idle_flow import BATCH, FETCHED_AT, message, user_id

FUTURE = 10**17


@pytest.fixture
def quarantined(connection: Any) -> Any:
    """Three open records: a bad e-mail, one too large to keep, and one re-driven often."""
    rows = [
        ("raw/0/1", "1", "BAD_EMAIL", 0, FUTURE, b'{"login":{"uuid":"%s"},"email":"no"}' % str(user_id(1)).encode()),
        ("staging/2", "2", "TOO_LARGE", 0, 1, None),
        ("raw/0/3", "3", "BAD_EMAIL", MAX_REDRIVES, 1, b'{"email":"no"}'),
    ]
    with connection, connection.cursor() as cursor:
        for origin, event_id, reason, redrives, version, payload in rows:
            cursor.execute(
                "INSERT INTO quarantine.records (origin, event_id, reason, field, detail, batch_id, version,"
                " event_time, redrives, size, sha256, payload)"
                " VALUES (%s, %s, %s, 'email', 'no @', %s, %s, %s, %s, 1, 'x', %s)",
                (origin, event_id, reason, BATCH, version, FETCHED_AT, redrives, payload),
            )
    return connection


def read_topic(kafka: KafkaSettings) -> Iterator[tuple[bytes, bytes, dict[str, str]]]:
    """Key, value and headers of everything on the raw topic."""
    watermarks = read_watermarks(get_admin(kafka), kafka.raw_topic)
    consumer = Consumer(kafka.client() | {"group.id": "tests", "auto.offset.reset": "earliest"})
    try:
        consumer.assign([TopicPartition(kafka.raw_topic, partition, low) for partition, (low, _) in watermarks.items()])
        for _ in range(sum(high - low for low, high in watermarks.values())):
            message = consumer.poll(20)
            yield message.key(), message.value(), {name: value.decode() for name, value in message.headers()}
    finally:
        consumer.close()


@pytest.mark.usefixtures("quarantined")
def test_a_corrected_record_keeps_its_event_id_and_gets_a_newer_version(
    postgres: PostgresSettings, kafka: KafkaSettings
) -> None:
    prepared = prepare_redrive(postgres, RedriveSelection(Reason.BAD_EMAIL), {"email": "zoë@example.com"})
    assert republish(connections.make_kafka_producer(kafka, "tests"), kafka.raw_topic, prepared.messages) == 1
    ((key, value, headers),) = read_topic(kafka)
    assert key.decode() == str(user_id(1))
    assert value.decode() == f'{{"login":{{"uuid":"{user_id(1)}"}},"email":"zoë@example.com"}}'
    assert (headers["event_id"], headers["redrives"], headers["batch_id"]) == ("1", "1", BATCH)
    assert int(headers["version"]) > FUTURE


@pytest.mark.usefixtures("quarantined")
def test_without_a_patch_the_payload_is_unchanged(postgres: PostgresSettings) -> None:
    (message,) = prepare_redrive(postgres, RedriveSelection(ids=["raw/0/1"])).messages
    assert message.value == b'{"login":{"uuid":"%s"},"email":"no"}' % str(user_id(1)).encode()


@pytest.mark.usefixtures("quarantined")
def test_records_without_payload_or_with_many_redrives_are_skipped_with_a_reason(postgres: PostgresSettings) -> None:
    prepared = prepare_redrive(postgres, RedriveSelection(ids=["2", "3"]))
    assert list(prepared.messages) == []
    assert "not kept" in prepared.skipped["staging/2"]
    assert "re-driven 3 times" in prepared.skipped["raw/0/3"]
    forced = prepare_redrive(postgres, RedriveSelection(ids=["3"]), force=True)
    assert [message.event_id for message in forced.messages] == ["3"]


def test_memory_holds_a_few_records_of_many(connection: Any, postgres: PostgresSettings) -> None:
    count, size = 5 * FETCH_ROWS, 400_000
    with connection, connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO quarantine.records (origin, event_id, reason, field, detail, version, event_time, size,"
            " sha256, payload) SELECT 'raw/0/' || n, n, 'SCHEMA', 'value', '', 1, now(), 1, 'x', repeat('x', %s)::bytea"
            " FROM generate_series(1, %s) AS n",
            (size, count),
        )
    tracemalloc.start()
    try:
        messages = prepare_redrive(postgres, RedriveSelection()).messages
        total = len(next(messages).value)
        with connection, connection.cursor() as cursor:
            cursor.execute("SELECT query FROM pg_stat_activity WHERE application_name = 'redrive'")
            assert cursor.fetchall() == [(f'FETCH FORWARD {FETCH_ROWS} FROM "redrive"',)]
        assert total + sum(len(message.value) for message in messages) == count * size
        assert tracemalloc.get_traced_memory()[1] < count * size / 2
    finally:
        tracemalloc.stop()


def test_resolved_records_are_not_selected(quarantined: Any, postgres: PostgresSettings) -> None:
    with quarantined, quarantined.cursor() as cursor:
        cursor.execute("UPDATE quarantine.records SET resolved_at = now()")
    assert list(prepare_redrive(postgres, RedriveSelection()).messages) == []


def test_a_replay_publishes_the_records_of_a_period_as_newer_versions(
    connection: Any, postgres: PostgresSettings, kafka: KafkaSettings
) -> None:
    with connection, connection.cursor() as cursor:
        cursor.execute(
            "CREATE TABLE staging.users_20261120 PARTITION OF staging.users"
            " FOR VALUES FROM ('2026-11-20') TO ('2026-11-21')"
        )
        for number, hours in ((1, 0), (2, 1), (3, 30)):
            cursor.execute(
                "INSERT INTO staging.users (id, epoch, staged_on, user_key, version, event_time, batch_id, payload)"
                " VALUES (%s, 1, '2026-11-20', %s, %s, %s, %s, '{}')",
                (number, str(user_id(number)), FUTURE, FETCHED_AT + timedelta(hours=hours), BATCH),
            )
    period = ReplayPeriod(FETCHED_AT, FETCHED_AT + timedelta(hours=2))
    assert list(count_by_day(postgres, period).values()) == [2]
    assert replay(postgres, kafka, period) == 2
    published = list(read_topic(kafka))
    assert {headers["event_id"] for _, _, headers in published} == {"1", "2"}
    assert all(int(headers["version"]) > FUTURE and "redrives" not in headers for _, _, headers in published)


def test_an_unreachable_broker_is_an_error_with_the_number_of_records() -> None:
    nowhere = KafkaSettings(bootstrap_servers="127.0.0.1:1")
    producer = connections.make_kafka_producer(nowhere, "tests", {"message.timeout.ms": 500})
    with pytest.raises(UserError, match="did not acknowledge 1 of 1"):
        republish(producer, "users.raw", [message(1)])
