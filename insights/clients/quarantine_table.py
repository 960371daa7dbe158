"""The PostgreSQL table `quarantine.records`, which holds every quarantined record once."""

from collections.abc import Sequence
from dataclasses import astuple, fields

from psycopg2.extensions import cursor as PgCursor
from psycopg2.extras import execute_values

from insights.model.quarantine import QuarantineRecord

_COLUMNS = (*(field.name for field in fields(QuarantineRecord)), "digest")
_REPLACE = f"""
    UPDATE SET {", ".join(f"{name} = excluded.{name}" for name in _COLUMNS)},
        quarantined_at = now(), resolved_at = NULL, resolved_by = NULL
"""


def insert_records(cursor: PgCursor, records: Sequence[QuarantineRecord], *, replace: bool = False) -> None:
    """Insert the records in the caller's transaction.

    A message that is in quarantine already is left unchanged, unless `replace` is true because it has a new reason.
    """
    execute_values(
        cursor,
        f"INSERT INTO quarantine.records ({', '.join(_COLUMNS)}) VALUES %s"
        f" ON CONFLICT (origin) DO {_REPLACE if replace else 'NOTHING'}",
        [(*astuple(record), record.digest()) for record in records],
    )
