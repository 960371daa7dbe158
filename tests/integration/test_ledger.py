"""The ledger on real servers: it closes for an idle flow, and each hop says what it does not cover."""

from dataclasses import replace

from insights.clients.kafka_admin import get_admin
from insights.ledger.check import check_ledger, read_totals
from insights.ledger.hops import Ledger
from insights.model.user import DIMENSIONS
from insights.settings import StoreSettings
from tests.helpers.damaged_flow import change_first_name_alike_in_both_stores, remove_served
from tests.helpers.idle_flow import (
    IdleFlow,
    add_batch,
    list_broken_hops,
    message,
    user_id,
)
from tests.helpers.staged_pages import delete_messages
from tests.helpers.support import eventually


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
        "user_profiles_by_id": (30, 30),
        "user_summaries_by_country": (30, 30),
        "user_summaries_by_month": (30, 30),
        "latest_arrivals": (30, 30),
        "users": (30, 30),
        "batches": (1, 1),
        "quarantine": (2, 2),
        "user_counts in Cassandra": (30 * len(DIMENSIONS), 30 * len(DIMENSIONS)),
    }


def test_the_ledger_of_empty_stores_closes(stores: StoreSettings) -> None:
    assert check_ledger(stores).closed


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
    delete_messages(flow.stores.kafka, {0: 3})
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
    flow.change_profile(7, first_name="Other")
    assert check_ledger(flow.stores).closed


def test_a_corrected_record_on_the_topic_is_not_taken_for_a_changed_one(flow: IdleFlow) -> None:
    flow.publish(replace(message(31, redrives=1), value=b'{"nat": "DE"}'), message(5, version=2))
    add_batch(flow)
    assert check_ledger(flow.stores).closed


def test_a_page_lost_with_its_rows_and_keys_is_named(flow: IdleFlow) -> None:
    flow.sql("DELETE FROM staging.users WHERE id = 7")
    flow.sql("DELETE FROM staging.user_keys WHERE id = 7")
    assert list_broken_hops(check_ledger(flow.stores))["fetched"] == ("page ingest_users/2026-11-20/1",)


def test_the_running_totals_count_every_hop(flow: IdleFlow) -> None:
    totals = read_totals(flow.stores)
    assert (totals.fetched, totals.staged, totals.published, totals.served, totals.quarantined) == (35, 32, 32, 30, 2)
    assert totals.idle


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
    delete_messages(flow.stores.kafka, {0: 3})
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
    check_ledger(flow.stores)
    # The server drops a session's tables after the client has gone.
    eventually(lambda: flow.sql("SELECT count(*) FROM pg_class WHERE relname = 'topic_message'") == (0,))
    groups = get_admin(flow.stores.kafka).list_consumer_groups(request_timeout=10).result()
    assert not [group.group_id for group in groups.valid if group.group_id.startswith("insights-ledger")]
