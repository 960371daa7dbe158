"""Forget old batches, and the keys from which users moved in them."""

from datetime import datetime, timedelta
from typing import NamedTuple

from psycopg2.extensions import connection as PgConnection

# A query that starts again begins with its last batch, and by that one the ledger knows how far it has read.
_BATCHES = """
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
_MOVED = """
    DELETE FROM analytics.moved
    WHERE seq < (extract(epoch FROM %(before)s) * 1000000)::bigint
        AND seq NOT IN (SELECT seq FROM analytics.batches WHERE served_at IS NULL)
"""


class PrunedRows(NamedTuple):
    """Rows that are gone."""

    batches: int
    moved: int


def prune_batches(connection: PgConnection, now: datetime, retention_days: int) -> PrunedRows:
    """Delete what batches left that were merged over `retention_days` ago and that Cassandra has.

    The last batch of every query stays. The messages that the others read are added up in `analytics.pruned_batches`.
    """
    before = {"before": now - timedelta(days=retention_days)}
    with connection, connection.cursor() as cursor:
        cursor.execute(_BATCHES, before)
        batches = cursor.fetchone() or (0,)
        cursor.execute(_MOVED, before)
        return PrunedRows(batches[0], cursor.rowcount)
