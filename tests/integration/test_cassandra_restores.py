"""Cassandra restored to an earlier time: what it lacks since then is found and written again."""

from typing import Any

import pytest

from insights.clients.refill_record import mark_filled, read_delivered_seq, record_delivered_seq
from insights.errors import UserError
from insights.settings import CassandraSettings
from insights.sinks.delivery_record import DeliveryRecord
from insights.sinks.refill import refill_cassandra
from tests.helpers.store_delivery import RealStores, count_as_delivered, deliver, make_user, place
from tests.helpers.stream_process import assert_cassandra_equals, read_postgres_counts, read_postgres_users


@pytest.fixture
def stores(connection: Any, session: Any) -> RealStores:
    """Stores with 20 users of an old batch and one of a later one, which Cassandra's record names as the last."""
    stores = RealStores(connection, session)
    deliver(stores, 0, place(0, [make_user(number, 1) for number in range(20)]))
    deliver(stores, 1, place(1, [make_user(20, 1)]))
    with connection, connection.cursor() as cursor:
        cursor.execute("UPDATE analytics.batches SET merged_at = now() - interval '2 hours' WHERE batch_id = 0")
    mark_filled(session)
    start_record(stores)
    return stores


def start_record(stores: RealStores) -> DeliveryRecord:
    """The record of a stream that has started."""
    record = DeliveryRecord(stores)
    record.find_restore()
    record.begin()
    return record


def back_up(session: Any) -> list[Any]:
    """The contents of the table `refills`."""
    return list(session.execute("SELECT name, finished_at, delivered_seq FROM refills"))


def restore(session: Any, backup: list[Any]) -> None:
    """Set the table `refills` back, as a restore of Cassandra does."""
    for row in back_up(session):
        session.execute("DELETE FROM refills WHERE name = %s", (row.name,))
    for row in backup:
        session.execute("INSERT INTO refills (name, finished_at, delivered_seq) VALUES (%s, %s, %s)", row)


@pytest.fixture
def restored(stores: RealStores) -> RealStores:
    """The stores after three more batches, of which Cassandra has lost all: two users moved, one of them twice."""
    count_as_delivered(stores, 2, [make_user(30, 1), make_user(3, 2, country_code="FR")])
    count_as_delivered(stores, 3, [make_user(31, 1), make_user(3, 3, country_code="US")])
    count_as_delivered(stores, 4, [make_user(4, 2, country_code="NL"), make_user(5, 2, city="Bonn")])
    return stores


def test_what_a_restored_cassandra_lacks_is_written_again(
    restored: RealStores, cassandra: CassandraSettings, session: Any
) -> None:
    connection = restored.connection
    DeliveryRecord(restored).find_restore()
    record = DeliveryRecord(restored)
    record.find_restore()
    with connection, connection.cursor() as cursor:
        cursor.execute("SELECT batch_id FROM analytics.batches WHERE layout IS NULL ORDER BY batch_id")
        assert cursor.fetchall() == [(1,), (2,), (3,), (4,)]
    session.execute("TRUNCATE latest_arrivals")
    reports: list[int] = []
    assert refill_cassandra(restored, lambda: reports.append(1)) == 0
    assert len(reports) == 1
    users, counts = read_postgres_users(connection), read_postgres_counts(connection)
    assert {row["country_code"] for row in users.values()} == {"DE", "US", "NL"}
    assert_cassandra_equals(cassandra, users, counts)

    record.begin()
    record.find_restore()
    assert refill_cassandra(restored, lambda: pytest.fail("there is nothing to write")) == 0


def test_everything_is_written_again_if_nothing_had_been_recorded_as_delivered(
    restored: RealStores, cassandra: CassandraSettings, session: Any
) -> None:
    record_delivered_seq(session, 0)
    DeliveryRecord(restored).find_restore()
    assert refill_cassandra(restored, lambda: None) == 23
    users, counts = read_postgres_users(restored.connection), read_postgres_counts(restored.connection)
    assert_cassandra_equals(cassandra, users, counts)


def test_a_stream_that_runs_while_cassandra_is_restored_ends_and_does_not_hide_it(
    stores: RealStores, session: Any
) -> None:
    record = start_record(stores)
    earlier = read_delivered_seq(session)
    assert earlier is not None
    merged = deliver(stores, 2, place(2, [make_user(30, 1)]))
    with record.delivering(merged.seq):
        pass
    record.check()
    assert read_delivered_seq(session) == merged.seq

    record_delivered_seq(session, earlier)
    with pytest.raises(UserError, match=f"restored to the time of batch {earlier}, after {merged.seq} had been"):
        record.check()
    with pytest.raises(UserError, match="start the stream again"), record.delivering(merged.seq + 1):
        pytest.fail("the next batch is not written")
    assert read_delivered_seq(session) == earlier


def test_a_batch_is_not_recorded_if_cassandra_is_restored_while_it_is_written(stores: RealStores, session: Any) -> None:
    record = start_record(stores)
    earlier, backup = read_delivered_seq(session), back_up(session)
    merged = deliver(stores, 2, place(2, [make_user(30, 1)]))
    says = f"restored to an earlier time while .* up to batch {merged.seq}: start"
    with pytest.raises(UserError, match=says), record.delivering(merged.seq):
        restore(session, backup)
    assert read_delivered_seq(session) == earlier


def test_a_start_does_not_hide_that_cassandra_was_restored_while_batches_were_written_again(
    stores: RealStores, session: Any
) -> None:
    record, backup = DeliveryRecord(stores), back_up(session)
    record.find_restore()
    restore(session, backup)
    with pytest.raises(UserError, match="start the stream again"):
        record.begin()


def test_a_backup_without_a_record_is_noticed_while_the_stream_runs(stores: RealStores, session: Any) -> None:
    record = start_record(stores)
    session.execute("DELETE delivered_seq FROM refills WHERE name = 'all'")
    with pytest.raises(UserError, match="restored to the time of batch 0"):
        record.check()


def test_a_batch_that_is_repeated_does_not_set_the_record_back(stores: RealStores, session: Any) -> None:
    record = start_record(stores)
    last = read_delivered_seq(session)
    assert last is not None
    with record.delivering(last - 1):
        pass
    assert read_delivered_seq(session) == last


@pytest.mark.parametrize("deleted", [(0, 1), (2,), (0, 1, 2)])
def test_a_keyspace_has_to_be_dropped_if_a_batch_since_then_is_not_recorded_any_more(
    restored: RealStores, session: Any, deleted: tuple[int, ...]
) -> None:
    connection = restored.connection
    with connection, connection.cursor() as cursor:
        cursor.execute("DELETE FROM analytics.batches WHERE batch_id IN %s", (deleted,))
    with pytest.raises(UserError, match=f"drop the keyspace {session.keyspace}"):
        DeliveryRecord(restored).find_restore()
    with connection, connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM analytics.batches WHERE layout IS NULL")
        assert cursor.fetchall() == [(0,)]


def test_a_postgresql_that_was_restored_is_not_taken_for_a_restored_cassandra(stores: RealStores, session: Any) -> None:
    last = read_delivered_seq(session)
    assert last is not None
    record_delivered_seq(session, last + 1)
    record = DeliveryRecord(stores)
    record.find_restore()
    assert refill_cassandra(stores, lambda: pytest.fail("there is nothing to write")) == 0
    record.begin()
    assert read_delivered_seq(session) == last
    record.check()


def test_a_keyspace_without_a_record_takes_that_of_postgresql(stores: RealStores, session: Any) -> None:
    last = read_delivered_seq(session)
    session.execute("DELETE delivered_seq FROM refills WHERE name = 'all'")
    record = DeliveryRecord(stores)
    record.find_restore()
    assert refill_cassandra(stores, lambda: pytest.fail("there is nothing to write")) == 0
    record.begin()
    assert read_delivered_seq(session) == last
