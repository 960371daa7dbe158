"""The versions of messages that have none of their own: they follow the order of their partition.

Kafka's timestamp is too coarse for a version: a producer may send any number of updates of a user within a millisecond,
and its clock may step back. A message without a version is therefore newer than every earlier message of its partition:
its version is its timestamp in microseconds or, if greater, one more than the newest version before it. As write
timestamps in Cassandra, these versions are strictly monotonic, and ahead of the clock only by the length of a burst.
"""

from psycopg2.extensions import cursor as PgCursor

_PARTITION = "regexp_replace({}, '/[0-9]+$', '')"
_OFFSET = "substring({} FROM '[0-9]+$')::bigint"
# Users merged before the origin was stored have it in their event id, unless a row of staging has its id there.
_STORED_ORIGIN = "coalesce(u.origin, u.event_id)"

# A message that is read again keeps the version with which it was stored. `least` is what follows from the earlier
# messages of the batch: every message without a version adds one to the greatest version before it.
_ORDER_BY_OFFSET = f"""
    WITH placed AS (
        SELECT i.n, i.user_id, i.version, i.unversioned, {_PARTITION.format("i.origin")} AS partition,
            {_OFFSET.format("i.origin")} AS position,
            CASE WHEN i.origin = {_STORED_ORIGIN} AND i.event_time = u.event_time THEN u.version END AS same_message,
            CASE WHEN {_PARTITION.format("i.origin")} = {_PARTITION.format(_STORED_ORIGIN)}
                AND {_OFFSET.format("i.origin")} > {_OFFSET.format(_STORED_ORIGIN)} THEN u.version END AS stored_before
        FROM incoming AS i LEFT JOIN analytics.users AS u USING (user_id)
        WHERE i.user_id IN (SELECT user_id FROM incoming WHERE unversioned)
    ),
    counted AS (
        SELECT *, count(*) FILTER (WHERE unversioned) OVER until AS steps,
            count(*) FILTER (WHERE unversioned AND stored_before IS NOT NULL) OVER until AS steps_after_stored
        FROM placed WINDOW until AS (PARTITION BY user_id, partition ORDER BY position)
    ),
    ordered AS (
        SELECT *, steps + max(version - steps) OVER (PARTITION BY user_id, partition ORDER BY position) AS least
        FROM counted
    )
    UPDATE incoming AS i SET version = o.settled, digest = NULL
    FROM (
        SELECT n, coalesce(same_message, greatest(least, stored_before + steps_after_stored)) AS settled
        FROM ordered WHERE unversioned
    ) AS o
    WHERE i.n = o.n AND i.version <> o.settled
"""


def order_unversioned(cursor: PgCursor) -> None:
    """Set the versions of the rows of `incoming` that have none of their own; a row that changes loses its digest.

    The caller holds the merge lock.
    """
    cursor.execute(_ORDER_BY_OFFSET)
