"""The order of messages without a version: that of their partition, whatever their timestamps and batches."""

import random
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from insights.clients import connections
from insights.model.schema import USER_FIELDS
from insights.settings import CassandraSettings
from insights.sinks import postgres as store
from insights.sinks import user_ranges
from insights.sinks.cassandra import CassandraWriter
from tests.helpers.accepted_users import encode, table, user
from tests.helpers.written_batches import write_users

TOPIC = "users.raw"
MILLISECOND = 1_795_248_000_123
USER = UUID(int=7)
Row = dict[str, Any]


def update(offset: int, millisecond: int = MILLISECOND, partition: int = 0, **fields: Any) -> Row:
    """An update of the user without a version, as the transformation returns it."""
    origin = f"{TOPIC}/{partition}/{offset}"
    changes = {"origin": origin, "unversioned": True, "username": str(offset)} | fields
    return user(random.Random(offset), USER, millisecond * 1000, origin) | changes


def merge(connection: Any, number: int, rows: Sequence[Row], query: str = "query") -> list[Row]:
    identity = store.MicroBatchId(query, number, {TOPIC: {"0": [number, number + 1]}}, datetime.now(UTC))
    merged = store.merge_batch(connection, identity, encode(rows), [])
    users: list[Row] = user_ranges.read_users(connection, [merged.seq]).select(USER_FIELDS).to_pylist()
    return users


def read_stored(connection: Any) -> tuple[str, int]:
    """The event and the version of the stored user."""
    with connection, connection.cursor() as cursor:
        cursor.execute("SELECT event_id, version FROM analytics.users WHERE user_id = %s", (str(USER),))
        event_id, version = cursor.fetchone()
        return event_id, version


def count_superseded(connection: Any) -> int:
    with connection, connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM analytics.superseded")
        return int(cursor.fetchone()[0])


@pytest.mark.parametrize("batches", [[[1999, 2000]], [[2000, 1999]], [[1999], [2000]]])
def test_the_later_of_two_updates_in_one_millisecond_wins(connection: Any, batches: list[list[int]]) -> None:
    for number, offsets in enumerate(batches):
        merge(connection, number, [update(offset) for offset in offsets])
    assert read_stored(connection)[0] == f"{TOPIC}/0/2000"
    assert count_superseded(connection) == 1


def test_three_thousand_updates_in_one_millisecond_end_in_the_last_one_in_both_stores(
    connection: Any, cassandra: CassandraSettings
) -> None:
    updates = [update(offset) for offset in range(500, 3500)]
    batches = [updates[:700], updates[700:2500], updates[2500:]]
    with connections.open_cassandra(cassandra) as session:
        writer = CassandraWriter(session, in_flight=8, batch_rows=30)
        for number, rows in enumerate(batches):
            shuffled = random.Random(number).sample(rows, len(rows))
            current = merge(connection, number, shuffled)
            assert [row["event_id"] for row in current] == [rows[-1]["event_id"]]
            write_users(writer, table(current))
        [row] = session.execute("SELECT profile.username, profile.version FROM user_profiles_by_id")
    assert read_stored(connection) == (f"{TOPIC}/0/3499", MILLISECOND * 1000 + 2999)
    assert row == ("3499", MILLISECOND * 1000 + 2999)
    assert count_superseded(connection) == 2999

    merge(connection, 0, updates, "after the checkpoint was removed")
    assert read_stored(connection) == (f"{TOPIC}/0/3499", MILLISECOND * 1000 + 2999)
    assert count_superseded(connection) == 2999


def test_an_update_follows_a_row_that_was_stored_before_origins_were(connection: Any) -> None:
    merge(connection, 0, [update(1999)])
    with connection, connection.cursor() as cursor:
        cursor.execute("UPDATE analytics.users SET origin = NULL, version = %s", (MILLISECOND * 1000 + 999,))
    merge(connection, 1, [update(2000)])
    assert read_stored(connection) == (f"{TOPIC}/0/2000", MILLISECOND * 1000 + 1000)


def test_an_earlier_message_that_is_read_again_does_not_replace_a_redriven_one(connection: Any) -> None:
    redriven = MILLISECOND * 1000 + 5_000_000
    merge(connection, 0, [update(9)])
    merge(connection, 1, [update(20, event_id=f"{TOPIC}/0/5", version=redriven, unversioned=False)])
    merge(connection, 0, [update(9)], "after the checkpoint was removed")
    assert read_stored(connection) == (f"{TOPIC}/0/5", redriven)
    merge(connection, 2, [update(21)])
    assert read_stored(connection) == (f"{TOPIC}/0/21", redriven + 1)


def test_messages_of_other_partitions_and_of_a_new_topic_are_ordered_by_time(connection: Any) -> None:
    merge(connection, 0, [update(50)])
    merge(connection, 1, [update(60, MILLISECOND - 1, partition=1)])
    assert read_stored(connection)[0] == f"{TOPIC}/0/50"
    merge(connection, 2, [update(3, MILLISECOND + 1)])
    assert read_stored(connection) == (f"{TOPIC}/0/3", (MILLISECOND + 1) * 1000)


def model(messages: Sequence[Row]) -> Row:
    """The message that must be stored: by version, where a message without one follows all earlier ones."""
    newest: Row = {"version": 0}
    for message in messages:
        version = message["version"]
        if message["unversioned"]:
            version = max(version, newest["version"] + 1)
        if version > newest["version"]:
            newest = message | {"version": version}
    return newest


@pytest.mark.parametrize("seed", range(5))
def test_any_batches_clocks_and_repetitions_end_in_the_order_of_the_partition(connection: Any, seed: int) -> None:
    random_ = random.Random(seed)
    messages = []
    for offset in range(60):
        message = update(offset, MILLISECOND + random_.randrange(-3, 4))
        if random_.random() < 0.2:
            message |= {"unversioned": False, "version": message["version"] + random_.randrange(3000)}
        messages.append(message)
    for query in ("query", "after the checkpoint was removed"):
        start = number = 0
        while start < len(messages):
            end = min(len(messages), start + random_.randrange(1, 20))
            for _ in range(random_.randrange(1, 3)):
                merge(connection, number, random_.sample(messages[start:end], end - start), query)
            if query == "query":
                expected = model(messages[:end])
                assert read_stored(connection) == (expected["event_id"], expected["version"])
            start, number = end, number + 1
        assert read_stored(connection) == (expected["event_id"], expected["version"])
    assert count_superseded(connection) == len(messages) - 1
