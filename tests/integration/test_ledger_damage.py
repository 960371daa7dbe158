"""The ledger names what was removed or changed by hand."""

import re
from collections.abc import Callable
from datetime import timedelta

import pytest

from insights.cli.instants import parse_instant
from insights.ledger.check import check_ledger
from insights.ledger.hops import LedgerState
from insights.repair.replay import ReplayPeriod, plan_replay
from insights.settings import StoreSettings
from tests.helpers.damaged_flow import (
    ARRIVAL,
    arrival_key,
    blank_cell,
    blank_the_version_of_an_arrival,
    change_arrival,
    change_batch,
    change_batch_of_staged_row,
    change_cell,
    change_first_name_alike_in_both_stores,
    change_page,
    change_payload,
    change_payload_staged_before_digests,
    change_quarantined_detail,
    change_quarantined_payload,
    change_served,
    copy_to_another_partition,
    invent_a_user,
    invent_an_arrival,
    leave_a_stale_row,
    move_an_arrival_to_another_hour,
    move_to_another_partition,
    null_cell,
    publish_another_value,
    remove_arrival,
    remove_batch,
    remove_by_country,
    remove_by_id,
    remove_by_month,
    remove_key,
    remove_page,
    remove_quarantined,
    remove_served,
    remove_staging_row,
    truncate_arrivals,
    wrong_count,
    wrong_served_count,
)
from tests.helpers.idle_flow import (
    FETCHED_AT,
    IdleFlow,
    create_idle_flow,
    gender,
    list_broken_hops,
    user_id,
)


@pytest.mark.parametrize(
    ("by_hand", "hop", "named"),
    [
        (remove_staging_row, "staged", "7"),
        (remove_key, "fetched", "7"),
        (remove_page, "fetched", "0"),
        (remove_served, "served", "7"),
        (remove_quarantined, "served", "31"),
        (remove_by_id, "user_profiles_by_id", str(user_id(7))),
        (remove_by_country, "user_summaries_by_country", str(user_id(7))),
        (remove_by_month, "user_summaries_by_month", str(user_id(7))),
        (change_cell, "user_profiles_by_id", f"{user_id(7)} (city)"),
        (blank_cell, "user_profiles_by_id", f"{user_id(7)} (full_name)"),
        (null_cell, "user_profiles_by_id", f"{user_id(7)} (full_name)"),
        (change_served, "user_profiles_by_id", f"{user_id(7)} (distance_km)"),
        (copy_to_another_partition, "user_profiles_by_id", str(user_id(7))),
        (move_to_another_partition, "user_profiles_by_id", f"{user_id(7)} (id_bucket)"),
        (leave_a_stale_row, "user_summaries_by_country", str(user_id(7))),
        (invent_a_user, "user_profiles_by_id", str(user_id(999))),
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


def test_what_is_lost_is_named_with_the_replay_that_brings_it_back(flow: IdleFlow) -> None:
    flow.sql("UPDATE staging.users SET event_time = event_time + interval '90.5 seconds' WHERE id = 8")
    flow.sql("DELETE FROM analytics.users WHERE event_id IN ('7', '8')")
    [served] = [hop for hop in check_ledger(flow.stores).hops if hop.name == "served"]
    command = re.search(r"`insights replay --from (\S+) --to (\S+)` publishes them again", served.sentence)
    assert command is not None, served.sentence
    period = ReplayPeriod(*map(parse_instant, command.groups()))
    assert (period.since, period.until - period.since) == (FETCHED_AT.replace(microsecond=0), timedelta(seconds=91))
    assert sum(plan_replay(flow.stores.postgres, period).days.values()) >= 2


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
