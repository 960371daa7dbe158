"""The daily partitions of `staging.users`."""

from datetime import date, timedelta

from psycopg2.extensions import cursor as PgCursor

from insights.clients.sql import fetch_row


def partition_name(day: date) -> str:
    return f"staging.users_{day:%Y%m%d}"


def ensure_partition(cursor: PgCursor) -> date:
    """Create today's partition unless it is there, locking out neither readers nor writers: returns the day."""
    cursor.execute("SELECT (clock_timestamp() AT TIME ZONE 'UTC')::date")
    (day,) = fetch_row(cursor)
    name = partition_name(day)
    if _attached(cursor, name):
        return day  # type: ignore[no-any-return]
    cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended('staging.users/partitions', 0))")
    if not _attached(cursor, name):
        become_owner(cursor)
        bounds = f"FROM ('{day}') TO ('{day + timedelta(days=1)}')"
        cursor.execute(f"CREATE TABLE {name} (LIKE staging.users INCLUDING DEFAULTS INCLUDING CONSTRAINTS)")
        cursor.execute(f"ALTER TABLE staging.users ATTACH PARTITION {name} FOR VALUES {bounds}")
    return day  # type: ignore[no-any-return]


def become_owner(cursor: PgCursor) -> None:
    """Until the transaction ends: partitions belong to the owner of their parent, not to the login that makes them."""
    cursor.execute(
        "SELECT set_config('role', tableowner, true) FROM pg_tables"
        " WHERE schemaname = 'staging' AND tablename = 'users'"
    )


def _attached(cursor: PgCursor, partition: str) -> bool:
    """Asked of the catalogue itself: `to_regclass` would answer from a cache that a lock does not refresh."""
    cursor.execute(
        "SELECT EXISTS (SELECT FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid"
        " WHERE i.inhparent = 'staging.users'::regclass AND 'staging.' || c.relname = %s)",
        (partition,),
    )
    return bool(fetch_row(cursor)[0])
