"""The table `quarantine.records` in PostgreSQL, which holds every quarantined record exactly once."""

from collections.abc import Sequence
from dataclasses import astuple, fields

from psycopg2.extensions import cursor as PgCursor
from psycopg2.extras import execute_values

from insights.model.quarantine import QuarantineRecord


def insert_records(cursor: PgCursor, records: Sequence[QuarantineRecord]) -> None:
    """Insert the records within the caller's transaction; one that is there already stays as it is."""
    names = ", ".join(field.name for field in fields(QuarantineRecord))
    execute_values(
        cursor,
        f"INSERT INTO quarantine.records ({names}) VALUES %s ON CONFLICT (origin) DO NOTHING",
        [astuple(record) for record in records],
    )
