"""Drop the daily partitions that are published and older than the retention period."""

from datetime import UTC, date, datetime, timedelta

from psycopg2.errors import LockNotAvailable
from psycopg2.extensions import connection as PgConnection
from psycopg2.extensions import cursor as PgCursor

from insights import failpoints
from insights.clients.sql import fetch_row
from insights.staging.partitions import become_owner, partition_name

_LOCK_TIMEOUT = "5s"
"""How long retention waits for loads and reads before it leaves the partition to its next run."""


def drop_expired(connection: PgConnection, now: datetime, retention_days: int, publisher: str) -> list[date]:
    """Drop the daily partitions that ended `retention_days` ago and that the cursor of `publisher` has passed.

    Starts with the oldest day and stops at the first that has to be kept or is in use. Each dropped day is recorded in
    `staging.pruned` in the same transaction. Returns the days dropped.
    """
    last_expired = now.astimezone(UTC).date() - timedelta(days=retention_days + 1)
    dropped = []
    for day in _list_days(connection):
        if day > last_expired or not _drop_published(connection, day, publisher):
            break
        dropped.append(day)
    return dropped


def _list_days(connection: PgConnection) -> list[date]:
    """The days of the partitions, oldest first."""
    with connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT to_date(right(c.relname, 8), 'YYYYMMDD') FROM pg_inherits AS i JOIN pg_class AS c"
            " ON c.oid = i.inhrelid WHERE i.inhparent = 'staging.users'::regclass ORDER BY 1"
        )
        return [day for (day,) in cursor]


def _drop_published(connection: PgConnection, day: date, publisher: str) -> bool:
    """Drop the partition of `day`. Returns false if it has unpublished rows or is in use."""
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(f"SET LOCAL lock_timeout = '{_LOCK_TIMEOUT}'")
            become_owner(cursor)
            cursor.execute("LOCK TABLE staging.users IN ACCESS EXCLUSIVE MODE")
            if _has_unpublished(cursor, day, publisher):
                return False
            cursor.execute(
                f"INSERT INTO staging.pruned (staged_on, row_count) SELECT %s, count(*) FROM {partition_name(day)}",
                (day,),
            )
            failpoints.reach("retention.day_recorded")
            cursor.execute(f"DROP TABLE {partition_name(day)}")
    except LockNotAvailable:
        return False
    failpoints.reach("retention.day_committed")
    return True


def _has_unpublished(cursor: PgCursor, day: date, publisher: str) -> bool:
    cursor.execute(
        f"""
        SELECT EXISTS (
            SELECT FROM {partition_name(day)} AS u LEFT JOIN staging.publisher AS p ON p.name = %s
            WHERE p.name IS NULL OR (u.epoch, u.xact_id, u.id) > (p.epoch, p.xact_id, p.id)
        )
        """,
        (publisher,),
    )
    return bool(fetch_row(cursor)[0])
