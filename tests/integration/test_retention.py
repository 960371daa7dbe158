"""The retention of merged batches: it keeps what a restart, an undelivered batch or the ledger needs."""

import random
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from insights.ledger.check import read_totals
from insights.repair.retention import PrunedRows, prune_batches
from insights.settings import CassandraSettings, KafkaSettings, PostgresSettings, StoreSettings
from insights.sinks import postgres as store
from insights.sinks.user_ranges import read_moves
from tests.helpers.accepted_users import encode, user
from tests.helpers.staged_pages import fetch

DAYS = 14


def batch(kafka: KafkaSettings, number: int, query: str = "query") -> store.MicroBatchId:
    return store.MicroBatchId(query, number, {kafka.raw_topic: {"0": [number, number + 1]}}, datetime.now(UTC))


def merge(
    connection: Any, identity: store.MicroBatchId, country: str, delivered: bool = True, version: int = 0
) -> None:
    """Merge a batch with the only user, who moves to `country`."""
    version = version or identity.number + 1
    row = user(random.Random(0), UUID(int=1), version, str(version), country_code=country)
    store.merge_batch(connection, identity, encode([row]), [])
    if delivered:
        store.mark_delivered(connection, identity)


def fetch_sorted(connection: Any, query: str) -> list[Any]:
    return sorted(fetch(connection, query))


def later(days: int) -> datetime:
    return datetime.now(UTC) + timedelta(days=days, minutes=1)


def test_old_delivered_batches_are_deleted_with_their_moves_but_still_count_as_read(
    connection: Any, postgres: PostgresSettings, kafka: KafkaSettings
) -> None:
    stores = StoreSettings(postgres, kafka, CassandraSettings())
    for number, country in enumerate(("DE", "US", "IR")):
        merge(connection, batch(kafka, number), country)
    before = read_totals(stores)
    assert prune_batches(connection, later(DAYS - 1), DAYS) == PrunedRows(0, 0)
    assert prune_batches(connection, later(DAYS), DAYS) == PrunedRows(2, 2)
    assert prune_batches(connection, later(DAYS), DAYS) == PrunedRows(0, 0)
    assert fetch_sorted(connection, "SELECT batch_id FROM analytics.batches") == [(2,)]
    assert read_totals(stores) == before
    assert before.read == 3


def test_an_undelivered_batch_keeps_its_row_and_its_moves(connection: Any, kafka: KafkaSettings) -> None:
    merge(connection, batch(kafka, 0), "DE")
    merge(connection, batch(kafka, 1), "US", delivered=False)
    merge(connection, batch(kafka, 0, "with a new checkpoint"), "IR", version=3)
    moves = read_moves(connection, ())
    assert moves["country_code"].to_pylist() == ["DE"]
    assert prune_batches(connection, later(DAYS), DAYS) == PrunedRows(1, 1)
    assert read_moves(connection, ()) == moves
    assert fetch_sorted(connection, "SELECT batch_id FROM analytics.batches") == [(0,), (1,)]


def test_the_last_batch_of_every_query_is_kept_so_that_a_restart_does_not_repeat_it(
    connection: Any, kafka: KafkaSettings
) -> None:
    for query in ("first", "second"):
        for number, country in enumerate(("DE", "US")):
            merge(connection, batch(kafka, number, query), country)
    prune_batches(connection, later(DAYS), DAYS)
    remaining = fetch_sorted(connection, "SELECT query_id, batch_id, seq FROM analytics.batches")
    assert [row[:2] for row in remaining] == [("first", 1), ("second", 1)]
    merge(connection, batch(kafka, 1, "first"), "US")
    assert fetch_sorted(connection, "SELECT query_id, batch_id, seq FROM analytics.batches") == remaining
