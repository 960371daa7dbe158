"""Restores of Cassandra to an earlier time than that of the last batch that was delivered to it.

Cassandra's table `refills` records that batch. A restore sets the record back together with the rows.
"""

from datetime import timedelta

from cassandra.cluster import Session
from psycopg2.extensions import cursor as PgCursor

from insights.clients.refill_record import read_delivered_seq
from insights.clients.sql import fetch_row
from insights.model.schema import LAYOUT

MARGIN = timedelta(hours=1)
"""How long before the record's batch others may be missing: the nodes are not backed up at the same instant."""
_DELIVERED = f"served_at IS NOT NULL AND layout = {LAYOUT} AND offsets <> '{{}}'"
_SELECT_LAST = f"SELECT seq FROM analytics.batches WHERE {_DELIVERED} ORDER BY seq DESC LIMIT 1"
_FORGET = f"""
    UPDATE analytics.batches SET layout = NULL
    WHERE {_DELIVERED} AND (
        %(seq)s = 0 OR merged_at >= (SELECT merged_at FROM analytics.batches WHERE seq = %(seq)s) - %(margin)s
    )
"""
_SELECT_GAP = """
    SELECT EXISTS (
        SELECT FROM analytics.batches AS later LEFT JOIN analytics.batches AS last ON last.seq = %(seq)s
        WHERE later.seq > %(seq)s AND later.offsets <> '{}'
        GROUP BY later.query_id, last.query_id, last.batch_id
        HAVING min(later.batch_id) > CASE WHEN later.query_id = last.query_id THEN last.batch_id + 1 ELSE 0 END
    )
"""
"""Retention keeps the last batch of each query, so that one may be recorded while others that came after it are not."""


def read_last_delivered(cursor: PgCursor) -> int:
    """The sequence number of the last batch that PostgreSQL knows to be in every table of this layout; 0 if none is."""
    cursor.execute(_SELECT_LAST)
    row = cursor.fetchone()
    return int(row[0]) if row else 0


def find_restored_seq(cursor: PgCursor, session: Session) -> int | None:
    """The last batch that Cassandra has, if it was restored and lacks later ones; otherwise None."""
    seq = read_delivered_seq(session)
    return seq if seq is not None and seq < read_last_delivered(cursor) else None


def forget_deliveries(cursor: PgCursor, seq: int) -> int:
    """Record of all batches after `seq`, and of those up to `MARGIN` before it, that no table of this layout has them.

    Of all batches if `seq` is 0: none had been delivered.

    Returns their number; 0, and changes nothing, if the batch `seq` or one after it is not recorded any more.
    """
    cursor.execute(_SELECT_GAP, {"seq": seq})
    if fetch_row(cursor)[0]:
        return 0
    cursor.execute(_FORGET, {"seq": seq, "margin": MARGIN})
    return cursor.rowcount
