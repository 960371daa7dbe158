"""The ledger on real servers: it closes for an idle flow, and names what was removed or changed by hand."""

from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest

from insights.clients import connections
from insights.clients.kafka_admin import get_admin, read_watermarks
from insights.ledger import table_digests
from insights.ledger.check import check_ledger, find_stall, measure_flow, read_totals
from insights.ledger.hops import Ledger, LedgerState
from insights.model.schema import CASSANDRA_TABLES, USER_FIELDS
from insights.model.user import DIMENSIONS
from insights.settings import CassandraSettings, KafkaSettings, PostgresSettings, StoreSettings
from insights.sinks.postgres import MicroBatchId, merge_batch
from tests.helpers import accepted_users
from tests.helpers.idle_flow import (
    FETCHED_AT,
    IdleFlow,
    add_batch,
    create_idle_flow,
    make_cells,
    message,
    user,
    user_id,
)
from tests.helpers.support import eventually

ARRIVAL = "hour = %s AND event_time = %s AND user_id = %s"
COUNTRY = "country_code = %s AND bucket = %s AND registered_at = %s AND user_id = %s"


@pytest.fixture
def stores(postgres: PostgresSettings, kafka: KafkaSettings, cassandra: CassandraSettings) -> StoreSettings:
    return StoreSettings(postgres, kafka, cassandra)


@pytest.fixture
def flow(stores: StoreSettings) -> IdleFlow:
    return create_idle_flow(stores)


def list_broken_hops(ledger: Ledger) -> dict[str, tuple[str, ...]]:
    """The broken hops, with every id that they name."""
    return {hop.name: hop.missing + hop.extra + hop.changed for hop in ledger.hops if hop.state is LedgerState.BROKEN}


def test_every_hop_of_an_idle_flow_closes_with_its_counts(flow: IdleFlow) -> None:
    ledger = check_ledger(flow.stores)
    assert list_broken_hops(ledger) == {}
    assert ledger.closed
    assert {hop.name: (hop.left, hop.right) for hop in ledger.hops if hop.name != "user_counts"} | {} == {
        "fetched": (35, 35),
        "staged": (32, 32),
        "published": (32, 32),
        "read": (32, 32),
        "served": (32, 32),
        "users_by_id": (30, 30),
        "users_by_country": (30, 30),
        "users_by_registration_month": (30, 30),
        "latest_arrivals": (30, 30),
        "users": (30, 30),
        "batches": (1, 1),
        "quarantine": (2, 2),
        "user_counts in Cassandra": (30 * len(DIMENSIONS), 30 * len(DIMENSIONS)),
    }


def test_the_ledger_of_empty_stores_closes(stores: StoreSettings) -> None:
    assert check_ledger(stores).closed


def remove_staging_row(flow: IdleFlow) -> None:
    flow.sql("DELETE FROM staging.users WHERE id = 7")


def remove_key(flow: IdleFlow) -> None:
    flow.sql("DELETE FROM staging.user_keys WHERE id = 7")


def remove_served(flow: IdleFlow) -> None:
    flow.sql("DELETE FROM analytics.users WHERE event_id = '7'")


def remove_quarantined(flow: IdleFlow) -> None:
    flow.sql("DELETE FROM quarantine.records WHERE event_id = '31'")


def remove_page(flow: IdleFlow) -> None:
    flow.sql("DELETE FROM staging.batches")


def remove_by_id(flow: IdleFlow) -> None:
    flow.cql("DELETE FROM users_by_id WHERE user_id = %s", user_id(7))


def remove_by_country(flow: IdleFlow) -> None:
    flow.cql(f"DELETE FROM users_by_country WHERE {COUNTRY}", *country_key(7))


def remove_by_month(flow: IdleFlow) -> None:
    (row,) = (
        row
        for row in flow.cql("SELECT registered_month, bucket, registered_at, user_id FROM users_by_registration_month")
        if row.user_id == user_id(7)
    )
    flow.cql(
        "DELETE FROM users_by_registration_month"
        " WHERE registered_month = %s AND bucket = %s AND registered_at = %s AND user_id = %s",
        *row,
    )


def change_cell(flow: IdleFlow) -> None:
    flow.cql("UPDATE users_by_id SET city = 'Elsewhere' WHERE user_id = %s", user_id(7))


def blank_cell(flow: IdleFlow) -> None:
    flow.cql("UPDATE users_by_id SET full_name = '' WHERE user_id = %s", user_id(7))


def null_cell(flow: IdleFlow) -> None:
    flow.cql("UPDATE users_by_id SET full_name = null WHERE user_id = %s", user_id(7))


def change_served(flow: IdleFlow) -> None:
    flow.sql("UPDATE analytics.users SET distance_km = 1.5 WHERE event_id = '7'")


def leave_a_stale_row(flow: IdleFlow) -> None:
    flow.cql(
        "INSERT INTO users_by_country (country_code, bucket, registered_at, user_id) VALUES (%s, %s, %s, %s)",
        "ZZ",
        *country_key(7)[1:],
    )


def invent_a_user(flow: IdleFlow) -> None:
    flow.cql("INSERT INTO users_by_id (user_id) VALUES (%s)", user_id(999))


def wrong_count(flow: IdleFlow) -> None:
    flow.sql("UPDATE analytics.user_counts SET count = 77 WHERE dimension = 'gender' AND value = %s", gender(7))


def wrong_served_count(flow: IdleFlow) -> None:
    flow.cql("UPDATE user_counts SET count = 77 WHERE dimension = 'gender' AND value = %s", gender(7))


def change_page(flow: IdleFlow) -> None:
    flow.sql("UPDATE staging.batches SET fetched = fetched + 1, duplicates = duplicates + 1")


def change_batch(flow: IdleFlow) -> None:
    flow.sql("UPDATE analytics.batches SET inserted = inserted + 1")


def remove_batch(flow: IdleFlow) -> None:
    add_batch(flow)
    add_batch(flow)
    flow.sql("DELETE FROM analytics.batches WHERE batch_id = 1")


def change_payload(flow: IdleFlow) -> None:
    flow.sql("UPDATE staging.users SET payload = '{}' WHERE id = 7")


def change_batch_of_staged_row(flow: IdleFlow) -> None:
    flow.sql("UPDATE staging.users SET batch_id = 'other' WHERE id = 7")


def change_payload_staged_before_digests(flow: IdleFlow) -> None:
    flow.sql("UPDATE staging.users SET payload = '{}', digest = NULL WHERE id = 7")


def publish_another_value(flow: IdleFlow) -> None:
    flow.publish(replace(message(7), value=b"{}"))
    add_batch(flow)


def change_first_name_alike_in_both_stores(flow: IdleFlow) -> None:
    flow.sql("UPDATE analytics.users SET first_name = 'Other' WHERE event_id = '7'")
    flow.cql("UPDATE users_by_id SET first_name = 'Other' WHERE user_id = %s", user_id(7))


def change_quarantined_payload(flow: IdleFlow) -> None:
    flow.sql("UPDATE quarantine.records SET payload = '{}' WHERE event_id = '31'")


def change_quarantined_detail(flow: IdleFlow) -> None:
    flow.sql("UPDATE quarantine.records SET detail = 'other' WHERE event_id = '31'")


def truncate_arrivals(flow: IdleFlow) -> None:
    flow.cql("TRUNCATE latest_arrivals")


def remove_arrival(flow: IdleFlow) -> None:
    flow.cql(f"DELETE FROM latest_arrivals WHERE {ARRIVAL}", *arrival_key(7))


def change_arrival(flow: IdleFlow) -> None:
    flow.cql(f"UPDATE latest_arrivals SET city = 'Elsewhere' WHERE {ARRIVAL}", *arrival_key(7))


def blank_the_version_of_an_arrival(flow: IdleFlow) -> None:
    flow.cql(f"UPDATE latest_arrivals SET version = null WHERE {ARRIVAL}", *arrival_key(7))


def invent_an_arrival(flow: IdleFlow) -> None:
    flow.cql(f"UPDATE latest_arrivals SET version = 1 WHERE {ARRIVAL}", *arrival_key(7)[:2], user_id(999))


def move_an_arrival_to_another_hour(flow: IdleFlow) -> None:
    names = CASSANDRA_TABLES["latest_arrivals"][1]
    cells = dict(zip(names, make_cells(7, names), strict=True)) | {"hour": "2026-11-20T13"}
    remove_arrival(flow)
    flow.cql(
        f"INSERT INTO latest_arrivals ({', '.join(names)}) VALUES ({', '.join(['%s'] * len(names))})", *cells.values()
    )


def arrival_key(number: int) -> tuple[object, ...]:
    return tuple(make_cells(number, ("hour", "event_time", "user_id")))


def country_key(number: int) -> tuple[object, ...]:
    return tuple(make_cells(number, ("country_code", "bucket", "registered_at", "user_id")))


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
        (change_page, "fetched", "page ingest_users/2026-11-20/1"),
        (change_batch, "batches", "query/0"),
        (remove_batch, "batches", "query/1"),
        (change_payload, "staged", "7"),
        (change_batch_of_staged_row, "staged", "7"),
        (change_payload_staged_before_digests, "published", "7"),
        (publish_another_value, "published", "7"),
        (change_first_name_alike_in_both_stores, "users", str(user_id(7))),
        (change_quarantined_payload, "quarantine", "raw/0/31"),
        (change_quarantined_detail, "quarantine", "raw/0/31"),
        (truncate_arrivals, "latest_arrivals", str(min(map(user_id, range(30))))),
        (remove_arrival, "latest_arrivals", str(user_id(7))),
        (change_arrival, "latest_arrivals", f"{user_id(7)} (city)"),
        (blank_the_version_of_an_arrival, "latest_arrivals", f"{user_id(7)} (version)"),
        (invent_an_arrival, "latest_arrivals", str(user_id(999))),
        (move_an_arrival_to_another_hour, "latest_arrivals", str(user_id(7))),
        (wrong_count, "user_counts", f"gender={gender(7)} "),
        (wrong_served_count, "user_counts in Cassandra", f"gender={gender(7)} "),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_a_change_by_hand_is_found_and_named(
    flow: IdleFlow, by_hand: Callable[[IdleFlow], None], hop: str, named: str
) -> None:
    by_hand(flow)
    ledger = check_ledger(flow.stores)
    assert ledger.state is LedgerState.BROKEN
    assert any(name.startswith(named) for name in list_broken_hops(ledger)[hop])


def list_uncovered(ledger: Ledger) -> dict[str, str]:
    return {hop.name: hop.uncovered for hop in ledger.hops if hop.uncovered}


def test_each_hop_says_what_it_does_not_cover(flow: IdleFlow) -> None:
    always = {
        "latest_arrivals": "batches merged over 7 days ago or with an earlier checkpoint,"
        " and earlier versions of users",
        "quarantine": "resolved records that were deleted",
        "batches": "the instants of batches",
    }
    assert list_uncovered(check_ledger(flow.stores)) == always

    flow.sql("UPDATE staging.users SET digest = NULL WHERE id < 5")
    flow.sql("UPDATE analytics.users SET digest = NULL WHERE event_id::int < 4")
    flow.sql("UPDATE quarantine.records SET digest = NULL WHERE event_id = '31'")
    flow.sql("UPDATE staging.batches SET digest = NULL")
    flow.sql("UPDATE analytics.batches SET digest = NULL")
    delete_topic_records(flow, before=3)
    ledger = check_ledger(flow.stores)
    assert ledger.closed
    assert list_uncovered(ledger) == always | {
        "fetched": "1 page staged before digests were recorded",
        "batches": "1 batch merged before digests were recorded; the instants of batches",
        "staged": "5 rows staged before digests were recorded",
        "published": "3 rows whose messages have left the topic",
        "users": "4 users merged before digests were recorded",
        "quarantine": "1 record written before digests were recorded; resolved records that were deleted",
    }


def test_a_user_changed_after_an_upgrade_is_named_beside_users_without_a_digest(flow: IdleFlow) -> None:
    flow.sql("UPDATE analytics.users SET digest = NULL WHERE event_id <> '7'")
    change_first_name_alike_in_both_stores(flow)
    assert list_broken_hops(check_ledger(flow.stores)) == {"users": (str(user_id(7)),)}


def test_a_user_that_an_earlier_version_merged_after_a_rollback_is_not_taken_for_changed(flow: IdleFlow) -> None:
    add_batch(flow)
    flow.sql("UPDATE analytics.batches SET digest = NULL WHERE seq = 2")
    flow.sql("UPDATE analytics.users SET first_name = 'Other', seq = 2 WHERE event_id = '7'")
    flow.cql("UPDATE users_by_id SET first_name = 'Other' WHERE user_id = %s", user_id(7))
    assert check_ledger(flow.stores).closed


def test_a_batch_of_more_users_than_arrive_is_named_if_too_few_arrived(stores: StoreSettings) -> None:
    flow = create_idle_flow(stores, users=205, quarantined=0)
    for number in range(5):
        flow.cql(f"DELETE FROM latest_arrivals WHERE {ARRIVAL}", *arrival_key(number))
    assert check_ledger(stores).closed
    remove_arrival(flow)
    assert list_broken_hops(check_ledger(stores)) == {"latest_arrivals": ("batch query/0 (199 of 200)",)}


def test_arrivals_written_with_an_earlier_checkpoint_may_be_gone(flow: IdleFlow) -> None:
    truncate_arrivals(flow)
    flow.sql(
        "INSERT INTO analytics.batches SELECT (b).* FROM (SELECT jsonb_populate_record(b, "
        '\'{"query_id": "other", "seq": 9, "digest": null}\') AS b FROM analytics.batches AS b) AS copied'
    )
    assert check_ledger(flow.stores).closed


def test_a_corrected_record_on_the_topic_is_not_taken_for_a_changed_one(flow: IdleFlow) -> None:
    flow.publish(replace(message(31, redrives=1), value=b'{"nat": "DE"}'), message(5, version=2))
    add_batch(flow)
    assert check_ledger(flow.stores).closed


def test_a_page_lost_with_its_rows_and_keys_is_named(flow: IdleFlow) -> None:
    flow.sql("DELETE FROM staging.users WHERE id = 7")
    flow.sql("DELETE FROM staging.user_keys WHERE id = 7")
    assert list_broken_hops(check_ledger(flow.stores))["fetched"] == ("page ingest_users/2026-11-20/1",)


def test_rows_beyond_the_publishers_cursor_are_in_flight_and_those_before_it_are_lost(stores: StoreSettings) -> None:
    flow = create_idle_flow(stores, users=0, quarantined=0)
    stage(flow, 40, 41, 42)
    assert check_ledger(stores).state is LedgerState.IN_FLIGHT
    assert measure_flow(stores).unpublished == 3

    flow.sql("UPDATE staging.publisher SET xact_id = (SELECT max(xact_id) FROM staging.users), id = 41")
    published = next(hop for hop in check_ledger(stores).hops if hop.name == "published")
    assert (published.state, published.missing, published.pending) == (LedgerState.BROKEN, ("40", "41"), 1)


def test_unread_messages_are_in_flight_and_those_the_stream_has_passed_are_lost(stores: StoreSettings) -> None:
    flow = create_idle_flow(stores, users=0, quarantined=0)
    stage(flow, 40)
    publish_staged(flow, 40)
    flow.sql("UPDATE staging.publisher SET xact_id = (SELECT max(xact_id) FROM staging.users), id = 40")
    served = next(hop for hop in check_ledger(stores).hops if hop.name == "served")
    assert (served.state, served.pending) == (LedgerState.IN_FLIGHT, 1)
    assert measure_flow(stores).unread == 1

    add_batch(flow)
    assert list_broken_hops(check_ledger(stores)) == {"served": ("40",)}


def test_offsets_are_compared_as_numbers(stores: StoreSettings) -> None:
    flow = create_idle_flow(stores, users=18, quarantined=0)
    stage(flow, 40, 41, 42, 43)
    publish_staged(flow, 40, 41, 42, 43)
    add_batch(flow)
    assert flow.sql("SELECT count(*) FROM analytics.batches") == (2,)
    assert measure_flow(stores).unread == 0


def test_a_stream_that_reads_no_messages_is_stalled(stores: StoreSettings) -> None:
    flow = create_idle_flow(stores, users=0, quarantined=0)
    assert find_stall(stores, 0) is None
    flow.publish(message(1))
    stalled = find_stall(stores, 0)
    assert stalled is not None
    assert stalled.sentence() == "1 message waits for the stream"


def test_the_running_totals_count_every_hop(flow: IdleFlow) -> None:
    totals = read_totals(flow.stores)
    assert (totals.fetched, totals.staged, totals.published, totals.served, totals.quarantined) == (35, 32, 32, 30, 2)
    assert totals.idle


def merge_again(flow: IdleFlow, number: int, **changes: object) -> None:
    """Merge a newer version of a user and leave the batch undelivered."""
    row = dict(zip(USER_FIELDS, user(number), strict=True)) | {"version": 10**15 + 99} | changes
    (batches,) = flow.sql("SELECT count(*) FROM analytics.batches")
    watermarks = read_watermarks(get_admin(flow.stores.kafka), flow.stores.kafka.raw_topic)
    spans = {str(partition): list(span) for partition, span in watermarks.items()}
    batch = MicroBatchId("query", batches, {flow.stores.kafka.raw_topic: spans}, FETCHED_AT)
    with closing(connections.connect_postgres(flow.stores.postgres, "tests")) as connection:
        merge_batch(connection, batch, accepted_users.table([row]), [])


def states(ledger: Ledger) -> dict[str, LedgerState]:
    return {hop.name: hop.state for hop in ledger.hops if hop.state is not LedgerState.CLOSED}


def test_rows_of_an_undelivered_batch_are_in_flight_and_other_losses_are_named(flow: IdleFlow) -> None:
    moved = {"country_code": "ZZ", "registered_month": "1999-01", "city": "Elsewhere"}
    merge_again(flow, 3, **moved)
    in_flight = dict.fromkeys(
        ("users_by_id", "users_by_country", "users_by_registration_month", "user_counts in Cassandra"),
        LedgerState.IN_FLIGHT,
    )
    assert states(check_ledger(flow.stores)) == in_flight

    remove_by_id(flow)
    flow.cql("UPDATE user_counts SET count = 99 WHERE dimension = 'gender' AND value = %s", gender(3))
    ledger = check_ledger(flow.stores)
    assert list_broken_hops(ledger) == {
        "users_by_id": (str(user_id(7)),),
        "user_counts in Cassandra": list_broken_hops(ledger)["user_counts in Cassandra"],
    }
    assert list_broken_hops(ledger)["user_counts in Cassandra"][0].startswith(f"gender={gender(3)} ")
    assert states(ledger) == in_flight | dict.fromkeys(list_broken_hops(ledger), LedgerState.BROKEN)


def test_a_loss_in_the_bucket_of_a_row_in_flight_is_named(flow: IdleFlow) -> None:
    merge_again(flow, 7, user_id=str(UUID(int=user_id(7).int ^ 1)))
    remove_by_id(flow)
    assert list_broken_hops(check_ledger(flow.stores))["users_by_id"] == (str(user_id(7)),)


def test_a_change_in_the_bucket_of_a_row_in_flight_is_named_beside_losses_in_other_buckets(flow: IdleFlow) -> None:
    merge_again(flow, 7, user_id=str(UUID(int=user_id(7).int ^ 1)))
    flow.cql("UPDATE users_by_id SET last_name = 'Elsewhere' WHERE user_id = %s", user_id(7))
    flow.cql("DELETE FROM users_by_id WHERE user_id = %s", user_id(9))
    named = list_broken_hops(check_ledger(flow.stores))["users_by_id"]
    assert named == (str(user_id(9)), f"{user_id(7)} (last_name)")


def test_what_is_not_compared_in_buckets_in_flight_is_said(flow: IdleFlow, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table_digests, "MAX_COMPARED_ROWS", 0)
    merge_again(flow, 3, city="Elsewhere")
    hop = next(hop for hop in check_ledger(flow.stores).hops if hop.name == "users_by_id")
    assert hop.state is LedgerState.IN_FLIGHT
    assert hop.sentence.endswith("Not covered: 1 digest bucket with rows in flight.")


def test_a_batch_that_is_merged_and_delivered_while_cassandra_is_read_is_in_flight(
    flow: IdleFlow, monkeypatch: pytest.MonkeyPatch
) -> None:
    remove_by_id(flow)
    digest_cassandra = table_digests.digest_cassandra

    def digest_late(session: Any, table: str) -> Any:
        if table == "users_by_id":
            merge_again(flow, 3, city="Elsewhere")
            flow.cql(
                "UPDATE users_by_id SET city = 'Elsewhere', version = %s WHERE user_id = %s", 10**15 + 99, user_id(3)
            )
            flow.sql("UPDATE analytics.batches SET served_at = now()")
        return digest_cassandra(session, table)

    monkeypatch.setattr(table_digests, "digest_cassandra", digest_late)
    assert list_broken_hops(check_ledger(flow.stores)) == {"users_by_id": (str(user_id(7)),)}


def test_an_overdue_batch_hides_no_loss(flow: IdleFlow) -> None:
    merge_again(flow, 7, city="Elsewhere")
    flow.sql("UPDATE analytics.batches SET merged_at = now() - interval '6 minutes' WHERE served_at IS NULL")
    ledger = check_ledger(flow.stores)
    assert list_broken_hops(ledger)["users_by_id"] == (f"{user_id(7)} (version, city)",)
    assert "1 merged batch has waited for Cassandra for over 5 minutes" in ledger.open_hops()[0].sentence


def test_a_stream_that_leaves_a_batch_undelivered_is_stalled(flow: IdleFlow) -> None:
    add_batch(flow, delivered=False)
    stalled = find_stall(flow.stores, 0)
    assert stalled is not None
    assert stalled.sentence() == "1 batch waits for Cassandra"
    add_batch(flow)
    assert find_stall(flow.stores, 0) is not None
    flow.sql("UPDATE analytics.batches SET served_at = now()")
    assert find_stall(flow.stores, 0) is None


def test_a_message_with_an_invalid_event_id_counts_under_its_coordinates(flow: IdleFlow) -> None:
    flow.publish(replace(message(31), event_id="order-17"))
    add_batch(flow)
    (named,) = list_broken_hops(check_ledger(flow.stores))["served"]
    assert named == f"{flow.stores.kafka.raw_topic}/0/16"


def test_a_message_of_another_producer_counts_under_its_coordinates(flow: IdleFlow) -> None:
    flow.publish(foreign=1)
    add_batch(flow)
    (named,) = list_broken_hops(check_ledger(flow.stores))["served"]
    assert named == f"{flow.stores.kafka.raw_topic}/0/16"
    flow.sql("UPDATE quarantine.records SET event_id = %s WHERE event_id = '31'", named)
    flow.sql("UPDATE quarantine.records SET resolved_at = now() WHERE event_id = '30'")
    assert list_broken_hops(check_ledger(flow.stores))["served"] == ("30", "31")


def test_records_that_retention_removed_from_the_topic_count_if_a_sink_has_them(flow: IdleFlow) -> None:
    delete_topic_records(flow, before=3)
    assert check_ledger(flow.stores).closed
    remove_served(flow)
    flow.sql("DELETE FROM analytics.users WHERE event_id = '0'")
    broken = list_broken_hops(check_ledger(flow.stores))
    assert broken["published"] == ("0",)
    assert broken["served"] == ("7",)


def test_the_rows_of_a_day_that_retention_dropped_count_as_pruned(flow: IdleFlow) -> None:
    flow.sql("DROP TABLE staging.users_20261120")
    flow.sql("INSERT INTO staging.pruned (staged_on, row_count) VALUES ('2026-11-20', 32)")
    ledger = check_ledger(flow.stores)
    assert ledger.closed
    assert next(hop for hop in ledger.hops if hop.name == "staged").right == 32


def test_a_superseded_event_counts_like_the_one_that_superseded_it(flow: IdleFlow) -> None:
    flow.sql(
        "INSERT INTO analytics.superseded (event_id, user_id, version, superseded_by, seq)"
        " SELECT '31', user_id, 1, event_id, 1 FROM analytics.users WHERE event_id = '7'"
    )
    flow.sql("DELETE FROM quarantine.records WHERE event_id = '31'")
    assert check_ledger(flow.stores).closed


def test_the_check_leaves_no_table_and_no_consumer_group_behind(flow: IdleFlow) -> None:
    from confluent_kafka.admin import AdminClient

    check_ledger(flow.stores)
    # The server drops a session's tables after the client has gone.
    eventually(lambda: flow.sql("SELECT count(*) FROM pg_class WHERE relname = 'topic_message'") == (0,))
    groups = AdminClient(flow.stores.kafka.client()).list_consumer_groups().result()
    assert not [group.group_id for group in groups.valid if group.group_id.startswith("insights-ledger")]


def stage(flow: IdleFlow, *numbers: int) -> None:
    """Stage a page of these records without publishing it."""
    flow.sql(
        "INSERT INTO staging.batches VALUES ('late', 'dag', 'run', 'seed', 1, %s, %s, 0, '1.4', 'x', 9, now())",
        len(numbers),
        len(numbers),
    )
    for number in numbers:
        key = str(user_id(number))
        flow.sql("INSERT INTO staging.user_keys VALUES (%s, %s, '2026-11-20', 'late')", key, number)
        flow.sql(
            "INSERT INTO staging.users (id, epoch, staged_on, user_key, version, event_time, batch_id, payload)"
            " VALUES (%s, 1, '2026-11-20', %s, 1, %s, 'late', %s)",
            *(number, key, FETCHED_AT, message(number).value.decode()),
        )


def publish_staged(flow: IdleFlow, *numbers: int) -> None:
    flow.publish(*(replace(message(number), batch_id="late") for number in numbers))


def delete_topic_records(flow: IdleFlow, before: int) -> None:
    from confluent_kafka import TopicPartition
    from confluent_kafka.admin import AdminClient

    admin = AdminClient(flow.stores.kafka.client())
    partition = TopicPartition(flow.stores.kafka.raw_topic, 0, before)
    for deleted in admin.delete_records([partition]).values():
        deleted.result()
