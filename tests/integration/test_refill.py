"""Filling Cassandra from PostgreSQL."""

from typing import Any

import pytest

from insights.clients import refill_record
from insights.settings import CassandraSettings
from insights.sinks import postgres, refill
from insights.sinks.refill import refill_cassandra
from tests.helpers.store_delivery import RealStores, count_as_delivered, deliver, make_user, place
from tests.helpers.stream_process import assert_cassandra_equals, read_postgres_counts, read_postgres_users

TABLES = (
    "user_profiles_by_id",
    "user_summaries_by_country",
    "user_summaries_by_month",
    "user_counts",
    "latest_arrivals",
)


@pytest.fixture
def stores(connection: Any, session: Any) -> RealStores:
    """Stores with 40 users, one of whom has moved, which Cassandra has lost."""
    stores = RealStores(connection, session)
    deliver(stores, 0, place(0, [make_user(number, 1) for number in range(40)]))
    deliver(stores, 1, place(1, [make_user(7, 2, country_code="US", title="Mx")]))
    for name in (*TABLES, "refills"):
        session.execute(f"TRUNCATE {name}")
    return stores


def test_every_user_and_count_is_written_once(
    stores: RealStores, cassandra: CassandraSettings, session: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refill, "PORTION_ROWS", 7)
    reports: list[bool] = []

    def report() -> None:
        reports.append(refill_record.is_being_filled(session))
        session.execute("DELETE progress_at FROM refills WHERE name = 'all'")

    assert refill_cassandra(stores, report) == 40
    assert reports == [True] * (6 + 1)
    assert not refill_record.is_being_filled(session)
    users, counts = read_postgres_users(stores.connection), read_postgres_counts(stores.connection)
    assert_cassandra_equals(cassandra, users, counts)
    assert {row.user_id for row in session.execute("SELECT user_id FROM latest_arrivals")} == users.keys()

    session.execute("TRUNCATE user_summaries_by_country")
    assert refill_cassandra(stores, report) == 0
    assert session.execute("SELECT * FROM user_summaries_by_country").one() is None


def test_a_refill_does_not_undo_what_is_newer(
    stores: RealStores, cassandra: CassandraSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    read_all, newer = postgres.read_counts, [make_user(3, 9, country_code="FR")]

    def read_before_a_batch(connection: Any) -> Any:
        counts = read_all(connection)
        deliver(stores, 2, place(2, newer))
        return counts

    monkeypatch.setattr(postgres, "read_counts", read_before_a_batch)
    refill_cassandra(stores, lambda: None)
    users, counts = read_postgres_users(stores.connection), read_postgres_counts(stores.connection)
    assert {row["country_code"] for row in users.values()} == {"DE", "US", "FR"}
    assert_cassandra_equals(cassandra, users, counts)


def test_a_first_start_has_nothing_to_fill(connection: Any, session: Any) -> None:
    stores = RealStores(connection, session)
    assert refill_cassandra(stores, lambda: pytest.fail("there is no portion")) == 0
    deliver(stores, 0, place(0, [make_user(1, 1)]))
    assert refill_cassandra(stores, lambda: pytest.fail("the keyspace counts as filled")) == 0


@pytest.fixture
def after_rollback(connection: Any, session: Any) -> RealStores:
    """Stores that took two batches, then two of another release, which marks them as served, then one more."""
    stores = RealStores(connection, session)
    deliver(stores, 0, place(0, [make_user(number, 1) for number in range(20)]))
    deliver(stores, 1, place(1, [make_user(20, 1)]))
    assert refill_cassandra(stores, lambda: None) == 21
    foreign = ([make_user(30, 1), make_user(3, 2, country_code="FR")], [make_user(31, 1), make_user(4, 2, city="Bonn")])
    for number, users in enumerate(foreign, 2):
        count_as_delivered(stores, number, users, "served_at = now()")
    deliver(stores, 4, place(4, [make_user(4, 3, country_code="US")]))
    return stores


def test_what_another_release_delivered_is_written_again(
    after_rollback: RealStores, cassandra: CassandraSettings, session: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refill, "PORTION_BATCHES", 1)
    reports: list[int] = []
    assert refill_cassandra(after_rollback, lambda: reports.append(1)) == 0
    assert len(reports) == 2
    connection = after_rollback.connection
    users, counts = read_postgres_users(connection), read_postgres_counts(connection)
    assert {row["country_code"] for row in users.values()} == {"DE", "FR", "US"}
    assert_cassandra_equals(cassandra, users, counts)
    arrivals = {row.user_id for row in session.execute("SELECT user_id FROM latest_arrivals")}
    assert arrivals == users.keys()

    session.execute("TRUNCATE user_summaries_by_country")
    assert refill_cassandra(after_rollback, lambda: pytest.fail("there is nothing to write")) == 0


def test_everything_is_written_if_the_batches_of_another_release_may_be_deleted(
    after_rollback: RealStores,
) -> None:
    connection = after_rollback.connection
    with connection, connection.cursor() as cursor:
        cursor.execute("DELETE FROM analytics.batches WHERE batch_id IN (1, 2)")
    assert refill_cassandra(after_rollback, lambda: None) == 23
    session, _ = after_rollback.connect_cassandra()
    found = {row.user_id for row in session.execute("SELECT user_id FROM user_profiles_by_id")}
    assert found == read_postgres_users(connection).keys()
    assert refill_cassandra(after_rollback, lambda: pytest.fail("there is nothing to write")) == 0
