"""Re-drive and replay on real servers: what is published again, with which key, version and headers."""

import tracemalloc
from collections.abc import Iterable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from confluent_kafka import Consumer, TopicPartition

from insights.clients import connections
from insights.clients.kafka_admin import get_admin, read_watermarks
from insights.clients.kafka_produce import republish
from insights.errors import UserError
from insights.model.message import RawMessage
from insights.model.reasons import Reason
from insights.model.schema import USER_FIELDS
from insights.repair.redrive import FETCH_ROWS, redrive
from insights.repair.redrive_selection import MAX_REDRIVES, RedriveSelection
from insights.repair.replay import ReplayPeriod, ReplayPlan, plan_replay, replay
from insights.settings import KafkaSettings, PostgresSettings
from tests.helpers.idle_flow import BATCH, FETCHED_AT, message, user, user_id

FUTURE = 10**17


@pytest.fixture
def quarantined(connection: Any) -> Any:
    """Three open records: a bad e-mail, one too large to keep, and one re-driven often."""
    rows = [
        ("raw/0/1", "1", "BAD_EMAIL", 0, FUTURE, b'{"login":{"uuid":"%s"},"email":"no"}' % str(user_id(1)).encode()),
        ("staging/2", "2", "TOO_LARGE", 0, 1, None),
        ("raw/0/3", "3", "BAD_EMAIL", MAX_REDRIVES, 1, b'{"email":"no"}'),
    ]
    for row in rows:
        quarantine(connection, *row)
    return connection


def quarantine(
    connection: Any, origin: str, event_id: str, reason: str, redrives: int, version: int, payload: bytes | None
) -> None:
    with connection, connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO quarantine.records (origin, event_id, reason, field, detail, batch_id, version,"
            " event_time, redrives, size, sha256, payload)"
            " VALUES (%s, %s, %s, 'email', 'no @', %s, %s, %s, %s, 1, 'x', %s)",
            (origin, event_id, reason, BATCH, version, FETCHED_AT, redrives, payload),
        )


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


def take(postgres: PostgresSettings, *, patch: Any = None, force: bool = False, **selection: Any) -> list[RawMessage]:
    """Re-drive a selection. Returns the messages that a dry run counts too, and asserts that it agrees."""
    chosen = RedriveSelection(**selection)
    messages: list[RawMessage] = []

    def publish(published: Iterable[RawMessage]) -> int:
        messages.extend(published)
        return len(messages)

    foreseen = redrive(postgres, chosen, patch, publish=None, force=force)
    assert redrive(postgres, chosen, patch, publish=publish, force=force) == foreseen
    assert len(messages) == foreseen.published
    return messages


@pytest.mark.usefixtures("quarantined")
def test_a_corrected_record_keeps_its_event_id_and_gets_a_newer_version(
    postgres: PostgresSettings, kafka: KafkaSettings
) -> None:
    producer = connections.make_kafka_producer(kafka, "tests")
    outcome = redrive(
        postgres,
        RedriveSelection(Reason.BAD_EMAIL),
        {"email": "zoë@example.com"},
        publish=lambda messages: republish(producer, kafka.raw_topic, messages),
    )
    assert (outcome.published, list(outcome.skipped)) == (1, ["raw/0/3"])
    ((key, value, headers),) = read_topic(kafka)
    assert key.decode() == str(user_id(1))
    assert value.decode() == f'{{"login":{{"uuid":"{user_id(1)}"}},"email":"zoë@example.com"}}'
    assert (headers["event_id"], headers["redrives"], headers["batch_id"]) == ("1", "1", BATCH)
    assert int(headers["version"]) > FUTURE


@pytest.mark.usefixtures("quarantined")
def test_without_a_patch_the_payload_is_unchanged(postgres: PostgresSettings) -> None:
    (message,) = take(postgres, ids=["raw/0/1"])
    assert message.value == b'{"login":{"uuid":"%s"},"email":"no"}' % str(user_id(1)).encode()


@pytest.mark.usefixtures("quarantined")
def test_a_record_is_re_driven_once_until_the_stream_has_decided(connection: Any, postgres: PostgresSettings) -> None:
    assert [message.event_id for message in take(postgres, ids=["1"])] == ["1"]
    with pytest.raises(UserError, match=r"raw/0/1: it was re-driven at .* not decided"):
        take(postgres, ids=["1"])
    assert [message.event_id for message in take(postgres, ids=["1"], force=True)] == ["1"]

    quarantine(connection, "raw/0/9", "1", "BAD_EMAIL", 1, FUTURE + 1, b'{"email":"still no"}')
    (message,) = take(postgres, ids=["1"])
    assert (message.value, message.redrives) == (b'{"email":"still no"}', 2)


@pytest.mark.usefixtures("quarantined")
def test_a_record_re_driven_often_is_taken_by_force(postgres: PostgresSettings) -> None:
    assert [message.event_id for message in take(postgres, ids=["3"], force=True)] == ["3"]


def test_of_two_records_of_a_user_the_newer_gets_the_newer_version(connection: Any, postgres: PostgresSettings) -> None:
    for event_id, version in (("9", 5), ("10", 7), ("11", 6)):
        quarantine(connection, f"raw/0/{event_id}", event_id, "BAD_EMAIL", 0, version, b'{"login":{}}')
    messages = take(postgres, reason=Reason.BAD_EMAIL)
    assert [message.event_id for message in messages] == ["9", "11", "10"]
    assert sorted({message.version for message in messages}) == [message.version for message in messages]


def test_the_limit_says_how_many_records_it_leaves_out(connection: Any, postgres: PostgresSettings) -> None:
    for number in range(3):
        quarantine(connection, f"raw/0/{number}", str(number), "BAD_EMAIL", 0, 1, b"{}")
    outcome = redrive(postgres, RedriveSelection(Reason.BAD_EMAIL, limit=2), publish=None)
    assert (outcome.published, outcome.left_out) == (2, 1)


def serve(connection: Any, number: int, event_id: str, version: int) -> None:
    """Store a user as served from another record."""
    row = dict(zip(USER_FIELDS, user(number), strict=True)) | {"event_id": event_id, "version": version}
    with connection, connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO analytics.users ({', '.join(row)}) VALUES ({', '.join(['%s'] * len(row))})",
            list(row.values()),
        )


@pytest.mark.parametrize(
    ("selection", "patch", "sentence"),
    [
        ({"ids": ["nobody", "1"]}, None, "has the event id or origin nobody"),
        ({"ids": ["a", "b", "c", "d", "e"]}, None, "a, b, c and 2 others"),
        ({"ids": ["4", "1"]}, None, "Already resolved: 4"),
        ({"ids": ["raw/0/4"]}, None, "Already resolved: raw/0/4"),
        ({"ids": ["1"], "reason": Reason.SCHEMA}, None, "Not rejected with reason SCHEMA: 1"),
        ({"ids": ["raw/0/5"]}, None, "Rejected again since: raw/0/5 (as raw/0/55)"),
        ({"ids": ["5"], "reason": Reason.BAD_EMAIL}, None, "Rejected again since: 5 (as raw/0/55)"),
        ({"reason": Reason.FUTURE_DATE}, None, "No record in quarantine is open with reason FUTURE_DATE"),
        ({"reason": Reason.TOO_LARGE}, None, "staging/2: the payload of a TOO_LARGE record is not kept; raise"),
        ({"ids": ["raw/0/7"]}, None, "have its producer send it again, smaller"),
        ({"ids": ["8"]}, None, "its payload was not kept, only the size and the digest"),
        ({"ids": ["1", "2"]}, None, "staging/2: the payload"),
        ({"ids": ["3"]}, None, "already re-driven 3 times"),
        ({"ids": ["6"]}, {"nat": "DE"}, "not a JSON object and cannot be patched"),
        ({"ids": ["9"]}, None, "its payload was withheld"),
        ({"ids": ["1", "3"]}, {"login": {"uuid": str(user_id(9))}}, "would make 2 records one user"),
        (
            {"ids": ["1"]},
            {"login": {"uuid": str(user_id(20))}},
            f"replace user {user_id(20)}, who is served from record 99",
        ),
        ({"ids": ["21"]}, None, f"replace user {user_id(21)}, who is served from record 100"),
    ],
)
def test_what_would_re_drive_other_than_meant_is_refused(
    quarantined: Any, postgres: PostgresSettings, selection: dict[str, Any], patch: Any, sentence: str
) -> None:
    payload = b'{"login":{"uuid":"%s"}}' % str(user_id(21)).encode()
    for origin, event_id, reason, version, content in (
        ("raw/0/4", "4", "BAD_EMAIL", 1, b"{}"),
        ("raw/0/5", "5", "BAD_EMAIL", 1, b"{}"),
        ("raw/0/55", "5", "SCHEMA", 2, b"{}"),
        ("raw/0/6", "6", "SCHEMA", 1, b"{"),
        ("raw/0/7", "raw/0/7", "TOO_LARGE", 1, None),
        ("raw/0/8", "8", "SCHEMA", 1, None),
        ("raw/0/9", "9", "SCHEMA", 1, b"null"),
        ("raw/0/21", "21", "SCHEMA", 5, payload),
    ):
        quarantine(quarantined, origin, event_id, reason, 0, version, content)
    with quarantined, quarantined.cursor() as cursor:
        cursor.execute("UPDATE quarantine.records SET resolved_at = now() WHERE event_id = '4'")
    serve(quarantined, 20, "99", version=1)
    serve(quarantined, 21, "100", version=6)
    for publish in (None, fail_to_publish):
        with pytest.raises(UserError) as refused:
            redrive(postgres, RedriveSelection(**selection), patch, publish=publish)
        assert sentence in str(refused.value)
        assert "\n" not in str(refused.value)


def fail_to_publish(_: Iterable[RawMessage]) -> int:
    raise AssertionError("a refused re-drive publishes nothing")


@pytest.mark.usefixtures("quarantined")
def test_a_second_re_drive_at_the_same_time_is_refused(postgres: PostgresSettings) -> None:
    def publish(messages: Iterable[RawMessage]) -> int:
        with pytest.raises(UserError, match="Another re-drive is running"):
            redrive(postgres, RedriveSelection(ids=["1"]), publish=fail_to_publish)
        return len(list(messages))

    assert redrive(postgres, RedriveSelection(ids=["1"]), publish=publish).published == 1


def test_memory_holds_a_few_records_of_many(connection: Any, postgres: PostgresSettings) -> None:
    count, size = 5 * FETCH_ROWS, 400_000
    with connection, connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO quarantine.records (origin, event_id, reason, field, detail, version, event_time, size,"
            " sha256, payload) SELECT 'raw/0/' || n, n, 'SCHEMA', 'value', '', 1, now(), 1, 'x', repeat('x', %s)::bytea"
            " FROM generate_series(1, %s) AS n",
            (size, count),
        )
    read: list[int] = []

    def publish(messages: Iterable[RawMessage]) -> int:
        read.extend(len(message.value) for message in messages)
        return len(read)

    tracemalloc.start()
    try:
        assert redrive(postgres, RedriveSelection(Reason.SCHEMA), publish=publish).published == count
        assert sum(read) == count * size
        assert tracemalloc.get_traced_memory()[1] < count * size / 2
    finally:
        tracemalloc.stop()


@pytest.fixture
def staged(connection: Any) -> Any:
    """Records 1 to 3, fetched 0, 1 and 30 hours after `FETCHED_AT`."""
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
    return connection


PERIOD = ReplayPeriod(FETCHED_AT, FETCHED_AT + timedelta(hours=2))


@pytest.mark.usefixtures("staged")
def test_a_replay_publishes_the_records_of_a_period_as_newer_versions(
    postgres: PostgresSettings, kafka: KafkaSettings
) -> None:
    assert plan_replay(postgres, PERIOD) == ReplayPlan({FETCHED_AT.date(): 2}, 0)
    assert replay(postgres, kafka, PERIOD) == 2
    published = list(read_topic(kafka))
    assert {headers["event_id"] for _, _, headers in published} == {"1", "2"}
    assert all(int(headers["version"]) > FUTURE and "redrives" not in headers for _, _, headers in published)


def supersede(connection: Any, number: int) -> None:
    """Serve the user from another record than the staged one."""
    serve(connection, number, "users.raw/0/17", FUTURE + 1)
    with connection, connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO analytics.superseded (event_id, user_id, version, superseded_by, seq)"
            " VALUES (%s, %s, 1, 'users.raw/0/17', 1)",
            (str(number), str(user_id(number))),
        )


def test_a_replay_leaves_out_what_newer_or_corrected_records_have_replaced(
    staged: Any, postgres: PostgresSettings, kafka: KafkaSettings
) -> None:
    supersede(staged, 1)
    assert plan_replay(postgres, PERIOD) == ReplayPlan({FETCHED_AT.date(): 1}, 1)
    assert replay(postgres, kafka, PERIOD) == 1
    assert [headers["event_id"] for _, _, headers in read_topic(kafka)] == ["2"]

    with staged, staged.cursor() as cursor:
        cursor.execute("INSERT INTO quarantine.redrives (origin, event_id, patched) VALUES ('raw/0/7', '2', true)")
    with pytest.raises(UserError, match="None of the 2 records of the period"):
        replay(postgres, kafka, PERIOD)
    with staged, staged.cursor() as cursor:
        cursor.execute("DELETE FROM analytics.users")
    assert plan_replay(postgres, PERIOD) == ReplayPlan({FETCHED_AT.date(): 1}, 1), "a lost user can be restored"


@pytest.mark.usefixtures("staged")
def test_a_replay_that_cannot_be_complete_or_has_nothing_to_publish_is_refused(
    connection: Any, postgres: PostgresSettings
) -> None:
    with pytest.raises(UserError, match=r"No staged record .* were fetched from 2026-11-20 12:00:00"):
        plan_replay(postgres, ReplayPeriod(FETCHED_AT - timedelta(days=9), FETCHED_AT))
    with connection, connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO staging.pruned (staged_on, row_count) VALUES ('2026-11-17', 0), ('2026-11-18', 5),"
            " ('2026-11-19', 7)"
        )
    before = ReplayPeriod(FETCHED_AT - timedelta(days=1), FETCHED_AT + timedelta(hours=2))
    with pytest.raises(
        UserError, match=r"dropped 7 records staged from 2026-11-19 to .* give --from 2026-11-20 or later"
    ):
        plan_replay(postgres, before)
    with pytest.raises(UserError, match="dropped 12 records staged from 2026-11-18 to 2026-11-19"):
        plan_replay(postgres, ReplayPeriod(FETCHED_AT - timedelta(days=5), FETCHED_AT + timedelta(hours=2)))
    assert plan_replay(postgres, PERIOD).days == {FETCHED_AT.date(): 2}


def test_a_replay_of_an_empty_staging_is_refused(postgres: PostgresSettings) -> None:
    with pytest.raises(UserError, match="staging is empty"):
        plan_replay(postgres, PERIOD)


def test_an_unreachable_broker_is_an_error_with_the_number_of_records() -> None:
    nowhere = KafkaSettings(bootstrap_servers="127.0.0.1:1")
    producer = connections.make_kafka_producer(nowhere, "tests", {"message.timeout.ms": 500})
    with pytest.raises(UserError, match="did not acknowledge 1 of 1"):
        republish(producer, "users.raw", [message(1)])
