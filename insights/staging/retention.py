"""Drop the daily partitions that are published and past their retention."""

from datetime import UTC, date, datetime, timedelta

from psycopg2.errors import LockNotAvailable
from psycopg2.extensions import connection as PgConnection
from psycopg2.extensions import cursor as PgCursor

from insights.clients.sql import fetch_row
from insights.staging.partitions import become_owner, partition_name

_LOCK_WAIT = "5s"
"""Retention gives way to loads and reads: it tries again on its next run."""


def drop_expired(connection: PgConnection, now: datetime, retention_days: int, publisher: str) -> list[date]:
    """Drop the daily partitions that ended `retention_days` ago and that the cursor of `publisher` has passed.

    Goes from the oldest day on and stops at the first that must stay, or that is in use. Each dropped day is noted
    in `staging.pruned`, in the same transaction. Returns the days dropped.
    """
    last = now.astimezone(UTC).date() - timedelta(days=retention_days + 1)
    dropped = []
    for day in _days(connection):
        if day > last or not _drop(connection, day, publisher):
            break
        dropped.append(day)
    return dropped


def _days(connection: PgConnection) -> list[date]:
    with connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT to_date(right(c.relname, 8), 'YYYYMMDD') FROM pg_inherits AS i JOIN pg_class AS c"
            " ON c.oid = i.inhrelid WHERE i.inhparent = 'staging.users'::regclass ORDER BY 1"
        )
        return [day for (day,) in cursor]


def _drop(connection: PgConnection, day: date, publisher: str) -> bool:
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(f"SET LOCAL lock_timeout = '{_LOCK_WAIT}'")
            become_owner(cursor)
            cursor.execute("LOCK TABLE staging.users IN ACCESS EXCLUSIVE MODE")
            if _has_unpublished(cursor, day, publisher):
                return False
            cursor.execute(
                f"INSERT INTO staging.pruned (staged_on, row_count) SELECT %s, count(*) FROM {partition_name(day)}",
                (day,),
            )
            cursor.execute(f"DROP TABLE {partition_name(day)}")
    except LockNotAvailable:
        return False
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
