"""The ledger on real servers: it closes over a flow at rest, and names what was removed or changed by hand."""

from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest

from insights.clients import connections
from insights.ledger import table_digests
from insights.ledger.check import check_ledger, find_stall, measure_flow, read_totals
from insights.ledger.hops import Ledger, LedgerState
from insights.ledger.topic import RawTopic
from insights.model.schema import USER_FIELDS
from insights.model.user import DIMENSIONS
from insights.settings import CassandraSettings, KafkaSettings, PostgresSettings, StoreSettings
from insights.sinks.postgres import MicroBatchId, merge_batch
from tests.helpers import served_users
from tests.helpers.flow_at_rest import FETCHED_AT, Rest, come_to_rest, merged, message, user, user_id
from tests.helpers.support import eventually

COUNTRY = "country_code = %s AND bucket = %s AND registered_at = %s AND user_id = %s"


@pytest.fixture
def stores(postgres: PostgresSettings, kafka: KafkaSettings, cassandra: CassandraSettings) -> StoreSettings:
    return StoreSettings(postgres, kafka, cassandra)


@pytest.fixture
def rest(stores: StoreSettings) -> Rest:
    return come_to_rest(stores)


def hops(ledger: Ledger) -> dict[str, tuple[str, ...]]:
    """The broken hops with all the ids that they name."""
    return {hop.name: hop.missing + hop.extra + hop.changed for hop in ledger.hops if hop.state is LedgerState.BROKEN}


def test_a_flow_at_rest_closes_every_hop_with_its_counts(rest: Rest) -> None:
    ledger = check_ledger(rest.stores)
    assert hops(ledger) == {}
    assert ledger.closed
    assert {hop.name: (hop.left, hop.right) for hop in ledger.hops if hop.name != "user_counts"} | {} == {
        "fetched": (35, 35),
        "staged": (32, 32),
        "published": (32, 32),
        "served": (32, 32),
        "users_by_id": (30, 30),
        "users_by_country": (30, 30),
        "users_by_registration_month": (30, 30),
        "user_counts in Cassandra": (30 * len(DIMENSIONS), 30 * len(DIMENSIONS)),
    }


def test_empty_stores_close(stores: StoreSettings) -> None:
    assert check_ledger(stores).closed


def remove_staging_row(rest: Rest) -> None:
    rest.sql("DELETE FROM staging.users WHERE id = 7")


def remove_key(rest: Rest) -> None:
    rest.sql("DELETE FROM staging.user_keys WHERE id = 7")


def remove_served(rest: Rest) -> None:
    rest.sql("DELETE FROM analytics.users WHERE event_id = '7'")


def remove_quarantined(rest: Rest) -> None:
    rest.sql("DELETE FROM quarantine.records WHERE event_id = '31'")


def remove_page(rest: Rest) -> None:
    rest.sql("DELETE FROM staging.batches")


def remove_by_id(rest: Rest) -> None:
    rest.cql("DELETE FROM users_by_id WHERE user_id = %s", user_id(7))


def remove_by_country(rest: Rest) -> None:
    rest.cql(f"DELETE FROM users_by_country WHERE {COUNTRY}", *country_key(7))


def remove_by_month(rest: Rest) -> None:
    (row,) = (
        row
        for row in rest.cql("SELECT registered_month, bucket, registered_at, user_id FROM users_by_registration_month")
        if row.user_id == user_id(7)
    )
    rest.cql(
        "DELETE FROM users_by_registration_month"
        " WHERE registered_month = %s AND bucket = %s AND registered_at = %s AND user_id = %s",
        *row,
    )


def change_cell(rest: Rest) -> None:
    rest.cql("UPDATE users_by_id SET city = 'Elsewhere' WHERE user_id = %s", user_id(7))


def blank_cell(rest: Rest) -> None:
    rest.cql("UPDATE users_by_id SET full_name = '' WHERE user_id = %s", user_id(7))


def null_cell(rest: Rest) -> None:
    rest.cql("UPDATE users_by_id SET full_name = null WHERE user_id = %s", user_id(7))


def change_served(rest: Rest) -> None:
    rest.sql("UPDATE analytics.users SET distance_km = 1.5 WHERE event_id = '7'")


def leave_a_stale_row(rest: Rest) -> None:
    rest.cql(
        "INSERT INTO users_by_country (country_code, bucket, registered_at, user_id) VALUES (%s, %s, %s, %s)",
        "ZZ",
        *country_key(7)[1:],
    )


def invent_a_user(rest: Rest) -> None:
    rest.cql("INSERT INTO users_by_id (user_id) VALUES (%s)", user_id(999))


def wrong_count(rest: Rest) -> None:
    rest.sql("UPDATE analytics.user_counts SET count = 77 WHERE dimension = 'gender' AND value = %s", gender(7))


def wrong_served_count(rest: Rest) -> None:
    rest.cql("UPDATE user_counts SET count = 77 WHERE dimension = 'gender' AND value = %s", gender(7))


def country_key(number: int) -> tuple[object, ...]:
    from tests.helpers.flow_at_rest import _cells

    return tuple(_cells(number, ("country_code", "bucket", "registered_at", "user_id")))


def gender(number: int) -> str:
    return str(user(number)[USER_FIELDS.index("gender")])


@pytest.mark.parametrize(
    ("by_hand", "hop", "named"),
    [
        (remove_staging_row, "staged", "7"),
        (remove_key, "fetched", "7"),
        (remove_page, "fetched", "0"),
        (remove_served, "served", "7"),
        (remove_quarantined, "served", "31"),
        (remove_by_id, "users_by_id", str(user_id(7))),
        (remove_by_country, "users_by_country", str(user_id(7))),
        (remove_by_month, "users_by_registration_month", str(user_id(7))),
        (change_cell, "users_by_id", f"{user_id(7)} (city)"),
        (blank_cell, "users_by_id", f"{user_id(7)} (full_name)"),
        (null_cell, "users_by_id", f"{user_id(7)} (full_name)"),
        (change_served, "users_by_id", f"{user_id(7)} (distance_km)"),
        (leave_a_stale_row, "users_by_country", str(user_id(7))),
        (invent_a_user, "users_by_id", str(user_id(999))),
        (wrong_count, "user_counts", f"gender={gender(7)} "),
        (wrong_served_count, "user_counts in Cassandra", f"gender={gender(7)} "),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_what_was_done_by_hand_is_found_and_named(
    rest: Rest, by_hand: Callable[[Rest], None], hop: str, named: str
) -> None:
    by_hand(rest)
    ledger = check_ledger(rest.stores)
    assert ledger.state is LedgerState.BROKEN
    assert any(name.startswith(named) for name in hops(ledger)[hop])


def test_a_page_lost_with_its_rows_and_keys_is_named(rest: Rest) -> None:
    rest.sql("DELETE FROM staging.users WHERE id = 7")
    rest.sql("DELETE FROM staging.user_keys WHERE id = 7")
    assert hops(check_ledger(rest.stores))["fetched"] == ("page ingest_users/2026-11-20/1",)


def test_rows_beyond_the_cursor_are_in_flight_and_those_behind_it_lost(stores: StoreSettings) -> None:
    rest = come_to_rest(stores, users=0, quarantined=0)
    stage(rest, 40, 41, 42)
    assert check_ledger(stores).state is LedgerState.IN_FLIGHT
    assert measure_flow(stores).unpublished == 3

    rest.sql("UPDATE staging.publisher SET xact_id = (SELECT max(xact_id) FROM staging.users), id = 41")
    published = next(hop for hop in check_ledger(stores).hops if hop.name == "published")
    assert (published.state, published.missing, published.pending) == (LedgerState.BROKEN, ("40", "41"), 1)


def test_messages_the_stream_has_not_read_are_in_flight_and_those_it_passed_lost(stores: StoreSettings) -> None:
    rest = come_to_rest(stores, users=0, quarantined=0)
    stage(rest, 40)
    rest.publish(message(40))
    rest.sql("UPDATE staging.publisher SET xact_id = (SELECT max(xact_id) FROM staging.users), id = 40")
    served = next(hop for hop in check_ledger(stores).hops if hop.name == "served")
    assert (served.state, served.pending) == (LedgerState.IN_FLIGHT, 1)
    assert measure_flow(stores).unread == 1

    merged(rest)
    assert hops(check_ledger(stores)) == {"served": ("40",)}


def test_offsets_are_compared_as_numbers(stores: StoreSettings) -> None:
    rest = come_to_rest(stores, users=18, quarantined=0)
    stage(rest, 40, 41, 42, 43)
    rest.publish(*map(message, (40, 41, 42, 43)))
    merged(rest)
    assert rest.sql("SELECT count(*) FROM analytics.batches") == (2,)
    assert measure_flow(stores).unread == 0


def test_a_stream_that_leaves_messages_lying_is_stalled(stores: StoreSettings) -> None:
    rest = come_to_rest(stores, users=0, quarantined=0)
    assert find_stall(stores, 0) is None
    rest.publish(message(1))
    waiting = find_stall(stores, 0)
    assert waiting is not None
    assert waiting.sentence() == "1 message waits for the stream"


def test_the_running_totals_follow_every_hop(rest: Rest) -> None:
    seen = read_totals(rest.stores)
    assert (seen.fetched, seen.staged, seen.published, seen.served, seen.quarantined) == (35, 32, 32, 30, 2)
    assert seen.idle


def merge_again(rest: Rest, number: int, **changes: object) -> None:
    """A batch with a newer version of a user, held between PostgreSQL's commit and Cassandra."""
    row = dict(zip(USER_FIELDS, user(number), strict=True)) | {"version": 10**15 + 99} | changes
    (batches,) = rest.sql("SELECT count(*) FROM analytics.batches")
    with closing(RawTopic(rest.stores.kafka)) as topic:
        spans = {str(partition): list(span) for partition, span in topic.watermarks().items()}
    batch = MicroBatchId("query", batches, {rest.stores.kafka.raw_topic: spans}, FETCHED_AT)
    with closing(connections.connect_postgres(rest.stores.postgres, "tests")) as connection:
        merge_batch(connection, batch, served_users.table([row]), [])


def states(ledger: Ledger) -> dict[str, LedgerState]:
    return {hop.name: hop.state for hop in ledger.hops if hop.state is not LedgerState.CLOSED}


def test_what_a_batch_on_its_way_to_cassandra_wrote_is_in_flight_and_what_else_is_lost_is_named(rest: Rest) -> None:
    moved = {"country_code": "ZZ", "registered_month": "1999-01", "city": "Elsewhere"}
    merge_again(rest, 3, **moved)
    late = dict.fromkeys(
        ("users_by_id", "users_by_country", "users_by_registration_month", "user_counts in Cassandra"),
        LedgerState.IN_FLIGHT,
    )
    assert states(check_ledger(rest.stores)) == late

    remove_by_id(rest)
    rest.cql("UPDATE user_counts SET count = 99 WHERE dimension = 'gender' AND value = %s", gender(3))
    ledger = check_ledger(rest.stores)
    assert hops(ledger) == {
        "users_by_id": (str(user_id(7)),),
        "user_counts in Cassandra": hops(ledger)["user_counts in Cassandra"],
    }
    assert hops(ledger)["user_counts in Cassandra"][0].startswith(f"gender={gender(3)} ")
    assert states(ledger) == late | dict.fromkeys(hops(ledger), LedgerState.BROKEN)


def test_a_loss_beside_a_row_on_its_way_in_the_same_bucket_is_named(rest: Rest) -> None:
    merge_again(rest, 7, user_id=str(UUID(int=user_id(7).int ^ 1)))
    remove_by_id(rest)
    assert hops(check_ledger(rest.stores))["users_by_id"] == (str(user_id(7)),)


def test_a_batch_that_is_merged_and_served_while_cassandra_is_read_is_in_flight(
    rest: Rest, monkeypatch: pytest.MonkeyPatch
) -> None:
    remove_by_id(rest)
    read = table_digests.digest_cassandra

    def read_late(session: Any, table: str) -> Any:
        if table == "users_by_id":
            merge_again(rest, 3, city="Elsewhere")
            rest.cql(
                "UPDATE users_by_id SET city = 'Elsewhere', version = %s WHERE user_id = %s", 10**15 + 99, user_id(3)
            )
            rest.sql("UPDATE analytics.batches SET served_at = now()")
        return read(session, table)

    monkeypatch.setattr(table_digests, "digest_cassandra", read_late)
    assert hops(check_ledger(rest.stores)) == {"users_by_id": (str(user_id(7)),)}


def test_a_batch_that_is_overdue_hides_no_loss(rest: Rest) -> None:
    merge_again(rest, 7, city="Elsewhere")
    rest.sql("UPDATE analytics.batches SET merged_at = now() - interval '6 minutes' WHERE served_at IS NULL")
    ledger = check_ledger(rest.stores)
    assert hops(ledger)["users_by_id"] == (f"{user_id(7)} (version, city)",)
    assert "1 merged batches have waited for Cassandra for over 5 minutes" in ledger.open_hops()[0].sentence


def test_a_stream_that_leaves_a_batch_half_served_is_stalled(rest: Rest) -> None:
    merged(rest, served=False)
    waiting = find_stall(rest.stores, 0)
    assert waiting is not None
    assert waiting.sentence() == "1 batch waits for Cassandra"
    merged(rest)
    assert find_stall(rest.stores, 0) is not None
    rest.sql("UPDATE analytics.batches SET served_at = now()")
    assert find_stall(rest.stores, 0) is None


def test_a_message_whose_event_id_is_no_event_id_counts_under_its_coordinates(rest: Rest) -> None:
    rest.publish(replace(message(31), event_id="order-17"))
    merged(rest)
    (named,) = hops(check_ledger(rest.stores))["served"]
    assert named == f"{rest.stores.kafka.raw_topic}/0/16"


def test_a_message_of_another_producer_counts_under_its_coordinates(rest: Rest) -> None:
    rest.publish(foreign=1)
    merged(rest)
    (named,) = hops(check_ledger(rest.stores))["served"]
    assert named == f"{rest.stores.kafka.raw_topic}/0/16"
    rest.sql("UPDATE quarantine.records SET event_id = %s WHERE event_id = '31'", named)
    rest.sql("UPDATE quarantine.records SET resolved_at = now() WHERE event_id = '30'")
    assert hops(check_ledger(rest.stores))["served"] == ("30", "31")


def test_records_that_retention_took_from_the_topic_count_when_they_landed(rest: Rest) -> None:
    delete_topic_records(rest, before=3)
    assert check_ledger(rest.stores).closed
    remove_served(rest)
    rest.sql("DELETE FROM analytics.users WHERE event_id = '0'")
    broken = hops(check_ledger(rest.stores))
    assert broken["published"] == ("0",)
    assert broken["served"] == ("7",)


def test_a_day_that_retention_dropped_counts_as_pruned(rest: Rest) -> None:
    rest.sql("DROP TABLE staging.users_20261120")
    rest.sql("INSERT INTO staging.pruned (staged_on, row_count) VALUES ('2026-11-20', 32)")
    ledger = check_ledger(rest.stores)
    assert ledger.closed
    assert next(hop for hop in ledger.hops if hop.name == "staged").right == 32


def test_a_superseded_event_counts_beside_the_one_that_replaced_it(rest: Rest) -> None:
    rest.sql(
        "INSERT INTO analytics.superseded (event_id, user_id, version, superseded_by, seq)"
        " SELECT '31', user_id, 1, event_id, 1 FROM analytics.users WHERE event_id = '7'"
    )
    rest.sql("DELETE FROM quarantine.records WHERE event_id = '31'")
    assert check_ledger(rest.stores).closed


def test_the_check_leaves_no_table_and_no_consumer_group_behind(rest: Rest) -> None:
    from confluent_kafka.admin import AdminClient

    check_ledger(rest.stores)
    # The server drops a session's tables after the client has gone.
    eventually(lambda: rest.sql("SELECT count(*) FROM pg_class WHERE relname = 'topic_message'") == (0,))
    groups = AdminClient(rest.stores.kafka.client()).list_consumer_groups().result()
    assert not [group.group_id for group in groups.valid if group.group_id.startswith("insights-ledger")]


def stage(rest: Rest, *numbers: int) -> None:
    """Rows of a page of their own, not published."""
    rest.sql(
        "INSERT INTO staging.batches VALUES ('late', 'dag', 'run', 'seed', 1, %s, %s, 0, '1.4', 'x', 9, now())",
        len(numbers),
        len(numbers),
    )
    for number in numbers:
        key = str(user_id(number))
        rest.sql("INSERT INTO staging.user_keys VALUES (%s, %s, '2026-11-20', 'late')", key, number)
    rest.sql(
        "INSERT INTO staging.users (id, epoch, staged_on, user_key, version, event_time, batch_id, payload)"
        " SELECT id, 1, staged_on, user_key, 1, now(), batch_id, '{}' FROM staging.user_keys WHERE batch_id = 'late'"
    )


def delete_topic_records(rest: Rest, before: int) -> None:
    from confluent_kafka import TopicPartition
    from confluent_kafka.admin import AdminClient

    admin = AdminClient(rest.stores.kafka.client())
    partition = TopicPartition(rest.stores.kafka.raw_topic, 0, before)
    for deleted in admin.delete_records([partition]).values():
        deleted.result()
