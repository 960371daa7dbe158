"""The retention of merged batches and of the old keys of users who moved in them."""

from datetime import datetime, timedelta
from typing import NamedTuple

from psycopg2.extensions import connection as PgConnection

from insights import failpoints

# The last batch of a query is kept: a restarted query repeats it, and the ledger reads the end offsets from it.
_PRUNE_BATCHES = """
    WITH pruned AS (
        DELETE FROM analytics.batches AS b
        WHERE merged_at < %(before)s AND served_at IS NOT NULL
            AND batch_id <> (SELECT max(batch_id) FROM analytics.batches WHERE query_id = b.query_id)
            AND seq <> (SELECT max(seq) FROM analytics.batches)
        RETURNING read
    )
    INSERT INTO analytics.pruned_batches (batches, read)
    SELECT count(*), sum(read) FROM pruned HAVING count(*) > 0 RETURNING batches
"""
_PRUNE_MOVES = """
    DELETE FROM analytics.moved
    WHERE seq < (extract(epoch FROM %(before)s) * 1000000)::bigint
        AND seq NOT IN (SELECT seq FROM analytics.batches WHERE served_at IS NULL)
"""


class PrunedRows(NamedTuple):
    """The number of deleted rows, by table."""

    batches: int
    moved: int


def prune_batches(connection: PgConnection, now: datetime, retention_days: int) -> PrunedRows:
    """Delete delivered batches that were merged more than `retention_days` before `now`, and their moves.

    The last batch of every query is kept. `analytics.pruned_batches` records how many messages the deleted ones read.
    """
    parameters = {"before": now - timedelta(days=retention_days)}
    with connection, connection.cursor() as cursor:
        cursor.execute(_PRUNE_BATCHES, parameters)
        (batches,) = cursor.fetchone() or (0,)
        failpoints.reach("retention.batches_deleted")
        cursor.execute(_PRUNE_MOVES, parameters)
        pruned = PrunedRows(batches, cursor.rowcount)
    failpoints.reach("retention.batches_committed")
    return pruned
