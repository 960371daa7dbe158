"""The incremental check: it compares what is new and a part of the rest, and finds what the full check finds."""

import os
from collections.abc import Iterator
from datetime import timedelta

import pytest

from insights.clients import connections
from insights.clients.sql import fetch_row
from insights.ledger import arrivals, count_digests, merged_rows, record_ranges, row_walks, topic_ranges
from insights.ledger.check import check_ledger
from insights.ledger.hops import Ledger, LedgerScope
from insights.ledger.stores import open_cursor
from insights.ledger.verified import read_verified
from insights.settings import StoreSettings
from tests.helpers.idle_flow import IdleFlow, add_batch, create_idle_flow
from tests.helpers.random_damage import DamagedStores

DAMAGES = int(os.environ.get("DAMAGES", "8"))
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
    with open_cursor(stores) as cursor:
        cursor.execute("SELECT conditions FROM analytics.verified")
        (conditions,) = fetch_row(cursor)
        state = read_verified(cursor, conditions)
        assert state is not None
        return state.rounds


def make_ranges_small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make every walk take several checks."""
    for module in (record_ranges, topic_ranges, count_digests, merged_rows, row_walks):
        monkeypatch.setattr(module, "RANGE_ROWS", 25)
    monkeypatch.setattr(row_walks, "SCRUBBED_RECORDS", 3)
    monkeypatch.setattr(row_walks, "SCRUBBED_BATCHES", 3)
    monkeypatch.setattr(arrivals, "SCRUBBED_ROWS", 25)
