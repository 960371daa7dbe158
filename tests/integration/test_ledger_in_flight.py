"""The ledger tells what is in flight from what is lost."""

from contextlib import closing
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest

from insights.clients import connections
from insights.clients.kafka_admin import get_admin, read_watermarks
from insights.clients.layouts import MARK_SERVED
from insights.ledger import table_digests
from insights.ledger.check import check_ledger, find_stall, measure_flow
from insights.ledger.hops import Ledger, LedgerState
from insights.model.schema import LAYOUT, USER_FIELDS
from insights.settings import StoreSettings
from insights.sinks.postgres import MicroBatchId, merge_batch
from tests.helpers import accepted_users
from tests.helpers.damaged_flow import remove_by_id
from tests.helpers.idle_flow import (
    FETCHED_AT,
    IdleFlow,
    add_batch,
    create_idle_flow,
    gender,
    list_broken_hops,
    message,
    user,
    user_id,
)


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


def merge_again(flow: IdleFlow, number: int, **changes: object) -> None:
    """Merge a newer version of a user and leave the batch undelivered."""
    row = dict(zip(USER_FIELDS, user(number), strict=True)) | {"version": 10**15 + 99} | changes
    (batches,) = flow.sql("SELECT count(*) FROM analytics.batches")
    watermarks = read_watermarks(get_admin(flow.stores.kafka), flow.stores.kafka.raw_topic)
    spans = {str(partition): list(span) for partition, span in watermarks.items()}
    batch = MicroBatchId("query", batches, {flow.stores.kafka.raw_topic: spans}, FETCHED_AT)
    with closing(connections.connect_postgres(flow.stores.postgres, "tests")) as connection:
        merge_batch(connection, batch, accepted_users.encode([row]), [])


def states(ledger: Ledger) -> dict[str, LedgerState]:
    return {hop.name: hop.state for hop in ledger.hops if hop.state is not LedgerState.CLOSED}


def test_rows_of_an_undelivered_batch_are_in_flight_and_other_losses_are_named(flow: IdleFlow) -> None:
    moved = {"country_code": "ZZ", "registered_month": "1999-01", "city": "Elsewhere"}
    merge_again(flow, 3, **moved)
    in_flight = dict.fromkeys(
        ("user_profiles_by_id", "user_summaries_by_country", "user_summaries_by_month", "user_counts in Cassandra"),
        LedgerState.IN_FLIGHT,
    )
    assert states(check_ledger(flow.stores)) == in_flight

    remove_by_id(flow)
    flow.cql("UPDATE user_counts SET count = 99 WHERE dimension = 'gender' AND value = %s", gender(3))
    ledger = check_ledger(flow.stores)
    assert list_broken_hops(ledger) == {
        "user_profiles_by_id": (str(user_id(7)),),
        "user_counts in Cassandra": list_broken_hops(ledger)["user_counts in Cassandra"],
    }
    assert list_broken_hops(ledger)["user_counts in Cassandra"][0].startswith(f"gender={gender(3)} ")
    assert states(ledger) == in_flight | dict.fromkeys(list_broken_hops(ledger), LedgerState.BROKEN)


def test_a_loss_in_the_bucket_of_a_row_in_flight_is_named(flow: IdleFlow) -> None:
    merge_again(flow, 7, user_id=str(UUID(int=user_id(7).int ^ 1)))
    remove_by_id(flow)
    assert list_broken_hops(check_ledger(flow.stores))["user_profiles_by_id"] == (str(user_id(7)),)


def test_a_change_in_the_bucket_of_a_row_in_flight_is_named_beside_losses_in_other_buckets(flow: IdleFlow) -> None:
    merge_again(flow, 7, user_id=str(UUID(int=user_id(7).int ^ 1)))
    flow.change_profile(7, last_name="Elsewhere")
    flow.remove_profile(9)
    named = list_broken_hops(check_ledger(flow.stores))["user_profiles_by_id"]
    assert named == (str(user_id(9)), f"{user_id(7)} (last_name)")


def test_what_is_not_compared_in_buckets_in_flight_is_said(flow: IdleFlow, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table_digests, "MAX_COMPARED_ROWS", 0)
    merge_again(flow, 3, city="Elsewhere")
    hop = next(hop for hop in check_ledger(flow.stores).hops if hop.name == "user_profiles_by_id")
    assert hop.state is LedgerState.IN_FLIGHT
    assert hop.sentence.endswith("Not covered: 1 digest bucket with rows in flight.")


def test_a_batch_that_is_merged_and_delivered_while_cassandra_is_read_is_in_flight(
    flow: IdleFlow, monkeypatch: pytest.MonkeyPatch
) -> None:
    remove_by_id(flow)
    digest_cassandra = table_digests.digest_cassandra

    def digest_late(session: Any, table: str) -> Any:
        if table == "user_profiles_by_id":
            merge_again(flow, 3, city="Elsewhere")
            flow.change_profile(3, city="Elsewhere", version=10**15 + 99)
            flow.sql(f"UPDATE analytics.batches SET {MARK_SERVED}")
        return digest_cassandra(session, table)

    monkeypatch.setattr(table_digests, "digest_cassandra", digest_late)
    assert list_broken_hops(check_ledger(flow.stores)) == {"user_profiles_by_id": (str(user_id(7)),)}


def test_what_a_refill_has_not_written_is_in_flight_and_what_is_wrong_is_named(flow: IdleFlow) -> None:
    assert check_ledger(flow.stores).closed
    assert flow.sql("SELECT count(*) FROM analytics.verified") == (1,)
    flow.cql("DELETE finished_at FROM refills WHERE name = 'all'")
    flow.cql("INSERT INTO refills (name, progress_at) VALUES ('all', toTimestamp(now()))")
    for table in ("user_profiles_by_id", "user_summaries_by_country", "user_counts", "latest_arrivals"):
        flow.cql(f"TRUNCATE {table}")
    assert states(check_ledger(flow.stores, full=False)) == dict.fromkeys(
        ("user_profiles_by_id", "user_summaries_by_country", "latest_arrivals", "user_counts in Cassandra"),
        LedgerState.IN_FLIGHT,
    )
    assert flow.sql("SELECT count(*) FROM analytics.verified") == (0,)

    flow.change_packed("user_summaries_by_month", "summary", 7, city="Elsewhere")
    named = {"user_summaries_by_month": (f"{user_id(7)} (city)",)}
    assert list_broken_hops(check_ledger(flow.stores)) == named

    flow.cql("INSERT INTO refills (name, finished_at) VALUES ('all', toTimestamp(now()))")
    assert list_broken_hops(check_ledger(flow.stores)).keys() == named.keys() | {
        *("user_profiles_by_id", "user_summaries_by_country", "latest_arrivals", "user_counts in Cassandra"),
    }


def test_what_another_release_delivered_to_its_own_tables_is_in_flight(flow: IdleFlow) -> None:
    remove_by_id(flow)
    assert list_broken_hops(check_ledger(flow.stores)) == {"user_profiles_by_id": (str(user_id(7)),)}
    flow.sql("UPDATE analytics.batches SET layout = %s", LAYOUT - 1)
    assert states(check_ledger(flow.stores)) == {"user_profiles_by_id": LedgerState.IN_FLIGHT}


def test_what_cassandra_lacks_after_a_restore_is_in_flight(flow: IdleFlow) -> None:
    remove_by_id(flow)
    [last] = flow.sql("SELECT max(seq) FROM analytics.batches")
    for seq, state in ((last, LedgerState.BROKEN), (last - 1, LedgerState.IN_FLIGHT)):
        flow.cql(f"INSERT INTO refills (name, delivered_seq) VALUES ('all', {seq})")
        assert states(check_ledger(flow.stores)) == {"user_profiles_by_id": state}


def test_an_overdue_batch_hides_no_loss(flow: IdleFlow) -> None:
    merge_again(flow, 7, city="Elsewhere")
    flow.sql("UPDATE analytics.batches SET merged_at = now() - interval '6 minutes' WHERE served_at IS NULL")
    ledger = check_ledger(flow.stores)
    assert list_broken_hops(ledger)["user_profiles_by_id"] == (f"{user_id(7)} (version, city)",)
    assert "1 merged batch has waited for Cassandra for over 5 minutes" in ledger.open_hops()[0].sentence


def test_a_stream_that_leaves_a_batch_undelivered_is_stalled(flow: IdleFlow) -> None:
    add_batch(flow, delivered=False)
    stalled = find_stall(flow.stores, 0)
    assert stalled is not None
    assert stalled.sentence() == "1 batch waits for Cassandra"
    add_batch(flow)
    assert find_stall(flow.stores, 0) is not None
    flow.sql(f"UPDATE analytics.batches SET {MARK_SERVED}")
    assert find_stall(flow.stores, 0) is None


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
