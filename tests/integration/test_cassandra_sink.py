"""The Cassandra writer against a real node."""

import random
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from cassandra import InvalidRequest

from insights.model.schema import CASSANDRA_TABLES
from insights.settings import CassandraSettings
from insights.sinks.cassandra import CassandraWriter
from insights.sinks.postgres import MicroBatchId, merge_batch
from insights.sinks.user_ranges import read_newest_users
from insights.sinks.user_tables import write_arrivals
from tests.helpers.accepted_users import NASTY, encode, table, user
from tests.helpers.stream_process import assert_cassandra_equals
from tests.helpers.written_batches import delete_moved, write_users


@pytest.fixture
def writer(session: Any) -> CassandraWriter:
    return CassandraWriter(session, in_flight=8, batch_rows=30)


def index_by_id(rows: list[dict[str, Any]]) -> dict[UUID, dict[str, Any]]:
    return {UUID(row["user_id"]): row | {"user_id": UUID(row["user_id"])} for row in rows}


def test_every_value_is_read_back_as_it_was_written(cassandra: CassandraSettings, writer: CassandraWriter) -> None:
    random_ = random.Random(1)
    rows = [user(random_, UUID(int=random_.getrandbits(128)), 10**15 + n, str(n)) for n in range(700)]
    rows += [user(random_, UUID(int=n), 2**62 + n, str(n), city="x" * 70_000) for n in range(3)]
    write_users(writer, table(rows))
    assert_cassandra_equals(cassandra, index_by_id(rows), {})


def test_an_older_version_written_later_changes_nothing(cassandra: CassandraSettings, writer: CassandraWriter) -> None:
    random_, uid = random.Random(2), UUID(int=2)
    newer = user(random_, uid, 2000, "2", title=None, city="Köln")
    older = newer | {"version": 1000, "event_id": "1", "title": "Mr", "city": NASTY[1]}
    write_users(writer, table([older]))
    write_users(writer, table([newer]))
    write_users(writer, table([older]))
    assert_cassandra_equals(cassandra, index_by_id([newer]), {})


def test_a_user_who_moved_is_under_the_new_key_only(cassandra: CassandraSettings, writer: CassandraWriter) -> None:
    random_, uid = random.Random(3), UUID(int=3 << 100)
    there = user(random_, uid, 1000, "1", country_code="US")
    back = [there | {"version": 2000, "country_code": "DE"}, there | {"version": 3000, "country_code": "US"}]
    moves = [
        {
            "user_id": str(uid),
            "version": row["version"],
            "country_code": old["country_code"],
            "registered_month": None,
            "registered_at": old["registered_at"],
        }
        for old, row in zip([there, back[0]], back, strict=True)
    ]
    for row in (there, *back):
        write_users(writer, table([row]))
    for _ in range(2):
        delete_moved(writer, moves)
    assert_cassandra_equals(cassandra, index_by_id([back[1]]), {})


def test_the_latest_arrivals_are_the_newest_of_a_batch(connection: Any, session: Any, writer: CassandraWriter) -> None:
    random_ = random.Random(4)
    rows = [user(random_, UUID(int=random_.getrandbits(128)), n + 1, str(n)) for n in range(300)]
    identity = MicroBatchId("query", 0, {"users.raw": {"0": [0, 300]}}, datetime.now(UTC))
    merged = merge_batch(connection, identity, encode(rows), [])
    write_arrivals(writer, read_newest_users(connection, [merged.seq]))
    arrivals = {row.user_id for row in session.execute("SELECT user_id FROM latest_arrivals")}
    newest = sorted(rows, key=lambda row: row["event_time"])[-200:]
    assert arrivals == {UUID(row["user_id"]) for row in newest}
    hours = {row.hour for row in session.execute("SELECT hour FROM latest_arrivals")}
    assert hours <= {row["event_time"].strftime("%Y-%m-%dT%H") for row in newest}


def test_an_invalid_statement_raises_cassandras_error(writer: CassandraWriter) -> None:
    rows = table([user(random.Random(5), UUID(int=5), 1, "1")])
    with pytest.raises(InvalidRequest, match="no_such_table"):
        writer.upsert("no_such_table", CASSANDRA_TABLES["user_profiles_by_id"][1], rows, "version")


def test_statements_that_the_node_dropped_are_prepared_again(
    cassandra: CassandraSettings, session: Any, writer: CassandraWriter
) -> None:
    rows = [user(random.Random(6), UUID(int=6), 1, "1")]
    write_users(writer, table(rows))
    session.execute("ALTER TABLE user_profiles_by_id WITH comment = 'this drops the prepared statements of the table'")
    session.execute("TRUNCATE user_profiles_by_id")
    write_users(writer, table(rows))
    assert_cassandra_equals(cassandra, index_by_id(rows), {})
