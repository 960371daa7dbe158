"""The incremental check: it compares what is new and a part of the rest, and finds what the full check finds."""

import os
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest
from pydantic import SecretStr

from insights.clients import connections
from insights.clients.sql import fetch_row
from insights.ledger import arrivals, count_digests, incremental, merged_rows, record_ranges, row_walks, topic_ranges
from insights.ledger.check import check_ledger, read_totals
from insights.ledger.hops import Ledger, LedgerScope, LedgerState
from insights.ledger.stores import open_cursor
from insights.ledger.verified import Verified, read_verified
from insights.settings import StoreSettings
from tests.helpers.idle_flow import IdleFlow, add_batch, create_idle_flow, list_broken_hops
from tests.helpers.random_damage import DamagedStores
from tests.helpers.staged_pages import delete_messages

DAMAGES = int(os.environ.get("DAMAGES", "6"))
"""Random changes by hand. `DAMAGES=1000` takes about an hour."""
SEED = int(os.environ.get("SEED", "1"))
USERS, QUARANTINED = 60, 6


@pytest.fixture(autouse=True)
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record_ranges, "SETTLED_AFTER", timedelta(0))


def test_the_first_check_compares_everything_and_the_next_ones_what_is_new(flow: IdleFlow) -> None:
    first, second, third = (check_ledger(flow.stores, full=False) for _ in range(3))
    assert [one.scope for one in (first, second, third)] == [
        LedgerScope.FULL,
        LedgerScope.INCREMENTAL,
        LedgerScope.INCREMENTAL,
    ]
    assert [hop.name for hop in second.hops] == [hop.name for hop in first.hops]
    assert third.closed


@pytest.fixture
def damaged(stores: StoreSettings) -> Iterator[DamagedStores]:
    """A flow of `USERS` users and several batches, which is verified, and can be damaged."""
    flow = create_idle_flow(stores, USERS, QUARANTINED)
    for _ in range(3):
        add_batch(flow)
    with connections.open_cassandra(stores.cassandra) as session:
        yield DamagedStores(flow, USERS, session)


@pytest.mark.timeout(60 + 10 * DAMAGES)
def test_incremental_checks_find_what_a_full_check_finds(
    stores: StoreSettings, damaged: DamagedStores, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_ranges_small(monkeypatch)
    found = 0
    for seed in range(SEED, SEED + DAMAGES):
        assert check_ledger(stores, full=False).closed
        assert check_ledger(stores, full=False).scope is LedgerScope.INCREMENTAL, f"before {seed}"
        done = damaged.damage(seed)
        print(seed, done, flush=True)
        incremental = check_a_whole_round(stores)
        # What incremental checks find is named by a full one, so only what they do not find is left to compare.
        full = check_ledger(stores) if incremental.closed else incremental
        assert incremental.state is full.state, f"{seed}, {done}: {[hop.sentence for hop in full.open_hops()]}"
        found += not full.closed
        damaged.repair()
    print(f"{found} of {DAMAGES} changes are damages")
    assert found > DAMAGES // 2


def check_a_whole_round(stores: StoreSettings) -> Ledger:
    """Check incrementally until everything that was verified has been compared again, or something is found."""
    rounds = read_rounds(stores)
    ledger = check_ledger(stores, full=False)
    while ledger.closed and read_rounds(stores) < rounds + 2:
        assert ledger.scope is LedgerScope.INCREMENTAL, "an incremental check suspects what a full one finds in order"
        ledger = check_ledger(stores, full=False)
    return ledger


def read_rounds(stores: StoreSettings) -> int:
    """How often everything that was verified has been compared again."""
    return read_state(stores).rounds


def read_state(stores: StoreSettings) -> Verified:
    with open_cursor(stores) as cursor:
        cursor.execute("SELECT conditions FROM analytics.verified")
        (conditions,) = fetch_row(cursor)
        state = read_verified(cursor, conditions)
        assert state is not None
        return state


def make_ranges_small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make every walk take several checks."""
    for module in (record_ranges, topic_ranges, count_digests, merged_rows, row_walks):
        monkeypatch.setattr(module, "RANGE_ROWS", 25)
    monkeypatch.setattr(merged_rows, "SCRUBBED_USERS", 25)
    monkeypatch.setattr(row_walks, "SCRUBBED_RECORDS", 3)
    monkeypatch.setattr(row_walks, "SCRUBBED_BATCHES", 3)
    monkeypatch.setattr(arrivals, "SCRUBBED_ROWS", 25)
    monkeypatch.setattr(incremental, "SCRUBBED_ARRIVALS", 25)


def test_one_check_compares_the_arrivals_of_few_users_again(flow: IdleFlow, monkeypatch: pytest.MonkeyPatch) -> None:
    add_batch(flow)
    assert check_ledger(flow.stores).closed
    monkeypatch.setattr(incremental, "SCRUBBED_ARRIVALS", 1)
    [(first, last)] = [flow.sql("SELECT min(seq), max(seq) FROM analytics.batches")]
    assert first < last
    assert check_ledger(flow.stores, full=False).scope is LedgerScope.INCREMENTAL
    assert read_state(flow.stores).walk("arrived batches").position == first


def test_totals_start_from_the_sums_of_the_last_check_that_found_nothing_broken(flow: IdleFlow) -> None:
    flow.sql("UPDATE staging.batches SET staged_at = now() - interval '2 hours'")
    before = read_totals(flow.stores)
    assert check_ledger(flow.stores).closed
    assert flow.sql("SELECT fetched, staged, duplicates FROM staging.page_totals") == (35, 32, 3)
    assert read_totals(flow.stores) == before

    flow.sql(
        "INSERT INTO staging.batches SELECT 'late', dag_id, run_id, seed, 2, 5, 0, 5, api_version, 'x', 9, now()"
        " FROM staging.batches"
    )
    assert check_ledger(flow.stores, full=False).closed
    totals = read_totals(flow.stores)
    assert (totals.fetched, totals.staged) == (before.fetched + 5, before.staged)

    flow.sql("DELETE FROM staging.batches WHERE batch_id <> 'late'")
    assert read_totals(flow.stores).fetched == before.fetched + 5
    assert not check_ledger(flow.stores, full=False).closed
    assert flow.sql("SELECT count(*) FROM staging.page_totals") == (0,)


@pytest.mark.parametrize("full", [True, False])
def test_what_a_login_that_only_reads_cannot_record_is_compared(flow: IdleFlow, full: bool) -> None:
    flow.sql("CREATE ROLE reader LOGIN PASSWORD 'reader' IN ROLE pg_read_all_data")
    try:
        postgres = flow.stores.postgres.model_copy(update={"user": "reader", "password": SecretStr("reader")})
        ledger = check_ledger(replace(flow.stores, postgres=postgres), full=full)
        assert (ledger.state, ledger.scope) == (LedgerState.CLOSED, LedgerScope.FULL)
        assert flow.sql("SELECT count(*) FROM analytics.verified") == (0,)
    finally:
        flow.sql("DROP ROLE reader")


def test_records_in_flight_stay_new_until_they_have_arrived(flow: IdleFlow) -> None:
    assert check_ledger(flow.stores).closed
    flow.publish(foreign=1)
    for _ in range(2):
        ledger = check_ledger(flow.stores, full=False)
        assert (ledger.state, ledger.scope) == (LedgerState.IN_FLIGHT, LedgerScope.INCREMENTAL)
    add_batch(flow)
    (named,) = list_broken_hops(check_ledger(flow.stores, full=False))["served"]
    assert named == f"{flow.stores.kafka.raw_topic}/0/16"


def test_days_that_retention_drops_do_not_make_every_check_a_full_one(flow: IdleFlow) -> None:
    assert check_ledger(flow.stores).closed
    flow.sql("DROP TABLE staging.users_20261120")
    flow.sql("INSERT INTO staging.pruned (staged_on, row_count) VALUES ('2026-11-20', 32)")
    delete_messages(flow.stores.kafka, {0: 3})
    for _ in range(2):
        ledger = check_ledger(flow.stores, full=False)
        assert (ledger.state, ledger.scope) == (LedgerState.CLOSED, LedgerScope.INCREMENTAL)


def test_everything_is_compared_again_after_a_week_and_on_other_servers(flow: IdleFlow) -> None:
    for change in ("full_at = full_at - interval '8 days'", "conditions = conditions || ' other'"):
        assert check_ledger(flow.stores).closed
        assert check_ledger(flow.stores, full=False).scope is LedgerScope.INCREMENTAL
        flow.sql(f"UPDATE analytics.verified SET {change}")
        assert check_ledger(flow.stores, full=False).scope is LedgerScope.FULL
        assert flow.sql("SELECT count(*) FROM analytics.verified") == (1,)
