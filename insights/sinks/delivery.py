"""Deliver a micro-batch to PostgreSQL and Cassandra, without the records that one of them refuses.

Nothing of this costs a batch that is taken as a whole. A refused record is bisected out of its batch and goes to
quarantine; in Cassandra's case its merge in PostgreSQL is undone first, and the batch then goes on as after a crash, by
a merge that recognises it.
"""

import logging
from collections.abc import Mapping, Sequence

import psycopg2
from psycopg2.extensions import connection as PgConnection

from insights.model.quarantine import Refusal
from insights.sinks import postgres, user_ranges, user_tables, withdrawal
from insights.sinks.batch_contents import BatchContents
from insights.sinks.store_errors import is_postgres_refusal
from insights.sinks.stores import Stores
from insights.sinks.user_rows import build_user_schema
from insights.sinks.user_tables import RefusedWrites
from insights.text import format_count

_log = logging.getLogger(__name__)


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
        words = stores.with_postgres(lambda connection: withdrawal.find_refused_rows(connection, batch.accepted.rows))
        if not words:
            raise
    rows = batch.accepted.rows.select(["origin", "version"]).take(list(words)).to_pylist()
    refusals = {
        row["origin"]: Refusal("PostgreSQL", detail, row["version"])
        for row, detail in zip(rows, words.values(), strict=True)
    }
    _log_refusals(refusals)
    return attempt(batch.quarantine(refusals))


def write_cassandra(stores: Stores, batch: BatchContents, merged: postgres.MergeResult) -> postgres.MergeResult:
    """Write the merged batch to Cassandra, without the rows that it refuses. Returns what is merged in the end.

    Raises:
        Exception: the driver's error that is not about the rows; those of `merge`.
    """
    skip_refused = False
    while True:
        refused = write_merged(stores, [merged.seq], merged.accepted, skip_refused=skip_refused)
        if not refused or skip_refused:
            return merged
        skip_refused = not _withdraw(stores, batch, merged, refused)
        merged = merge(stores, batch)


def write_merged(stores: Stores, seqs: Sequence[int], rows: int, *, skip_refused: bool) -> RefusedWrites:
    """Write merged batches to Cassandra: the counts first, and last the arrivals.

    `user_profiles_by_id` is written after everything else that Cassandra may refuse of a user, so that until then it
    has the user's earlier row. Work ends at the first step with a refusal, unless `skip_refused` is true.

    Args:
        stores: are connected on first use.
        seqs: the sequence numbers of the batches.
        rows: about how many users they have.
        skip_refused: write everything that is not refused.

    Returns what is refused.

    Raises:
        Exception: the driver's first error that is not about what is written.
    """
    counts = stores.with_postgres(postgres.read_undelivered_counts)
    _, writer = stores.connect_cassandra()
    refused = RefusedWrites(counts=user_tables.write_counts(writer, counts))
    if refused and not skip_refused:
        return refused
    refused = RefusedWrites(stores.write_users(seqs, rows, skip_refused=skip_refused), refused.counts)
    if refused and not skip_refused:
        return refused
    write_arrivals(stores, seqs)
    return refused


def write_arrivals(stores: Stores, seqs: Sequence[int]) -> None:
    """Write the newest users of each of these merged batches to `latest_arrivals`.

    Raises:
        Exception: the driver's first error.
    """
    newest = stores.with_postgres(lambda connection: user_ranges.read_newest_users(connection, seqs))
    _, writer = stores.connect_cassandra()
    user_tables.write_arrivals(writer, newest)


def _withdraw(stores: Stores, batch: BatchContents, merged: postgres.MergeResult, refused: RefusedWrites) -> bool:
    """Take what Cassandra refuses back out of PostgreSQL. Returns whether any of it is of this batch."""
    refusals = dict(refused.users)
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
    delivered = user_tables.read_users(session, user_ids, build_user_schema())
    candidates = withdrawal.select_candidates(batch.accepted.rows, user_ids, [*refusals, *merged.refusals], delivered)
    records = batch.quarantine(refusals)

    def withdraw(connection: PgConnection) -> None:
        withdrawal.withdraw(connection, batch.id, candidates, rows, records)

    stores.with_postgres(withdraw)
    return True


def _log_refusals(refusals: Mapping[str, Refusal]) -> None:
    origin, refusal = next(iter(refusals.items()))
    records = format_count(len(refusals), "record")
    _log.warning("%s refuses %s, which go to quarantine; %s: %s", refusal.store, records, origin, refusal.detail)
