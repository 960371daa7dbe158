"""The daily partitions of `staging.users`."""

from datetime import date, timedelta

from psycopg2.extensions import cursor as PgCursor

from insights.clients.sql import fetch_row


def partition_name(day: date) -> str:
    """The qualified name of the partition of `day`."""
    return f"staging.users_{day:%Y%m%d}"


def ensure_partition(cursor: PgCursor) -> date:
    """Create today's partition (UTC) if it does not exist, without blocking readers or writers. Returns the date."""
    cursor.execute("SELECT (clock_timestamp() AT TIME ZONE 'UTC')::date")
    day: date = fetch_row(cursor)[0]
    name = partition_name(day)
    if _is_attached(cursor, name):
        return day
    cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended('staging.users/partitions', 0))")
    if not _is_attached(cursor, name):
        become_owner(cursor)
        bounds = f"FROM ('{day}') TO ('{day + timedelta(days=1)}')"
        cursor.execute(f"CREATE TABLE {name} (LIKE staging.users INCLUDING DEFAULTS INCLUDING CONSTRAINTS)")
        cursor.execute(f"ALTER TABLE staging.users ATTACH PARTITION {name} FOR VALUES {bounds}")
    return day


def become_owner(cursor: PgCursor) -> None:
    """Act as the owner of `staging.users` until the transaction ends, so that this role also owns its partitions."""
    cursor.execute(
        "SELECT set_config('role', tableowner, true) FROM pg_tables"
        " WHERE schemaname = 'staging' AND tablename = 'users'"
    )


def _is_attached(cursor: PgCursor, partition: str) -> bool:
    """Query the catalog directly: `to_regclass` may use a cache that waiting for a lock does not invalidate."""
    cursor.execute(
        "SELECT EXISTS (SELECT FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid"
        " WHERE i.inhparent = 'staging.users'::regclass AND 'staging.' || c.relname = %s)",
        (partition,),
    )
    return bool(fetch_row(cursor)[0])
