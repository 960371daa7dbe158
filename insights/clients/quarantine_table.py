"""The PostgreSQL table `quarantine.records`, which holds every quarantined record once."""

from collections.abc import Sequence
from dataclasses import astuple, fields

from psycopg2.extensions import cursor as PgCursor
from psycopg2.extras import execute_values

from insights.model.quarantine import QuarantineRecord


def insert_records(cursor: PgCursor, records: Sequence[QuarantineRecord]) -> None:
    """Insert the records in the caller's transaction; a record that exists already is left unchanged."""
    columns = ", ".join((*(field.name for field in fields(QuarantineRecord)), "digest"))
    execute_values(
        cursor,
        f"INSERT INTO quarantine.records ({columns}) VALUES %s ON CONFLICT (origin) DO NOTHING",
        [(*astuple(record), record.digest()) for record in records],
    )
