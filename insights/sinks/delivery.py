"""Deliver a micro-batch to PostgreSQL and Cassandra, without the records that one of them refuses.

Nothing of this costs a batch that is taken as a whole. A refused record is bisected out of its batch and goes to
quarantine; in Cassandra's case its merge in PostgreSQL is undone first, and the batch then goes on as after a crash, by
a merge that recognises it.
"""

import logging
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import psycopg2
from cassandra.cluster import Session
from psycopg2.extensions import connection as PgConnection

from insights.model.quarantine import Refusal
from insights.model.schema import USER_FIELDS
from insights.sinks import postgres, withdrawal
from insights.sinks.batch_contents import BatchContents
from insights.sinks.cassandra import CassandraWriter
from insights.sinks.store_errors import is_postgres_refusal
from insights.sinks.user_tables import RefusedWrites, read_users, write_batch
from insights.text import format_count

_log = logging.getLogger(__name__)


class Stores(Protocol):
    """The connections to both stores."""

    def with_postgres(self, work: Callable[[PgConnection], Any]) -> Any:
        """Run idempotent `work`, again after an outage. Errors about rows are raised at once."""

    def connect_cassandra(self) -> tuple[Session, CassandraWriter]:
        """The session and the writer on it."""


def merge(stores: Stores, batch: BatchContents) -> postgres.MergeResult:
    """Merge the batch into PostgreSQL, without the rows that it refuses.

    Raises:
        psycopg2.Error: an outage that lasts, or an error that is not about the accepted rows.
    """

    def attempt(refused: postgres.RejectedPortions = ()) -> postgres.MergeResult:
        result: postgres.MergeResult = stores.with_postgres(
            lambda connection: postgres.merge_batch(connection, batch.id, batch.accepted, batch.rejected, refused)
        )
        return result

    try:
        return attempt()
    except psycopg2.Error as error:
        if not is_postgres_refusal(error):
            raise
        words = stores.with_postgres(lambda connection: withdrawal.find_refused_rows(connection, batch.accepted))
        if not words:
            raise
    refusals = _name_rows("PostgreSQL", batch.accepted, words)
    _log_refusals(refusals)
    return attempt(batch.quarantine(refusals))


def write_cassandra(stores: Stores, batch: BatchContents, merged: postgres.MergeResult) -> postgres.MergeResult:
    """Write the merged batch to Cassandra, without the rows that it refuses. Returns what is merged in the end.

    Raises:
        Exception: the driver's error that is not about the rows; those of `merge`.
    """
    skip_refused = False
    while True:
        moves = stores.with_postgres(postgres.read_undelivered_moves)
        counts = stores.with_postgres(postgres.read_undelivered_counts)
        _, writer = stores.connect_cassandra()
        refused = write_batch(writer, merged.users, counts, moves, skip_refused=skip_refused)
        if not refused or skip_refused:
            return merged
        skip_refused = not _withdraw(stores, batch, merged, refused)
        merged = merge(stores, batch)


def _withdraw(stores: Stores, batch: BatchContents, merged: postgres.MergeResult, refused: RefusedWrites) -> bool:
    """Take what Cassandra refuses back out of PostgreSQL. Returns whether any of it is of this batch."""
    refusals = _name_rows("Cassandra", merged.users, refused.users)
    if refused.counts:
        refusals |= stores.with_postgres(
            lambda connection: withdrawal.find_counted_users(connection, batch.id, refused.counts)
        )
    rows = batch.select([origin for origin in refusals if origin not in merged.refusals])
    if not rows.num_rows:
        _log.error("Cassandra refuses rows of earlier batches and keeps what it has of them: %s", refused)
        return False
    refusals = {origin: refusals[origin] for origin in rows["origin"].to_pylist()}
    _log_refusals(refusals)
    user_ids = rows["user_id"].to_pylist()
    session, _ = stores.connect_cassandra()
    delivered = read_users(session, user_ids, batch.accepted.select(USER_FIELDS).schema)
    candidates = withdrawal.select_candidates(batch.accepted, user_ids, [*refusals, *merged.refusals], delivered)
    records = batch.quarantine(refusals)
    stores.with_postgres(lambda connection: withdrawal.withdraw(connection, batch.id, candidates, rows, records))
    return True


def _name_rows(store: str, rows: Any, words: Mapping[int, str]) -> dict[str, Refusal]:
    """The refusals of these rows by origin, given the store's words by index."""
    refused = rows.select(["origin", "version"]).take(list(words)).to_pylist() if words else []
    return {
        row["origin"]: Refusal(store, detail, row["version"])
        for row, detail in zip(refused, words.values(), strict=True)
    }


def _log_refusals(refusals: Mapping[str, Refusal]) -> None:
    origin, refusal = next(iter(refusals.items()))
    records = format_count(len(refusals), "record")
    _log.warning("%s refuses %s, which go to quarantine; %s: %s", refusal.store, records, origin, refusal.detail)
