"""The pace of a source in PostgreSQL, which all tasks share."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import astuple, fields
from datetime import datetime

from psycopg2.extensions import connection as PgConnection

from insights.clients.sql import fetch_row
from insights.ingest.pace import Pace

_COLUMNS = tuple(field.name for field in fields(Pace))


class Pacer:
    """The pace of one source. Every method is a transaction."""

    def __init__(self, connection: PgConnection, source: str) -> None:
        self._connection, self._source = connection, source

    def reserve(self, rows: int) -> tuple[float, datetime]:
        """Return the seconds until a request for `rows` rows may be sent, and when that is; 0 reserves it."""
        with self._open() as (pace, now):
            seconds = pace.reserve(rows, now)
            return seconds, now

    def record_answer(self, rows: int) -> None:
        with self._open() as (pace, now):
            pace.record_answer(rows, now)

    def record_refusal(self, rows: int, retry_after: float | None) -> None:
        with self._open() as (pace, now):
            pace.record_refusal(rows, now, retry_after)

    def record_pause(self, seconds: float) -> None:
        with self._open() as (pace, now):
            pace.record_pause(now, seconds)

    @contextmanager
    def _open(self) -> Iterator[tuple[Pace, datetime]]:
        """The pace, locked and stored afterwards, and the server's time."""
        with self._connection, self._connection.cursor() as cursor:
            cursor.execute(
                "INSERT INTO staging.source_pace (source, opened_at, requested_at)"
                " VALUES (%s, clock_timestamp(), clock_timestamp()) ON CONFLICT DO NOTHING",
                (self._source,),
            )
            columns = ", ".join(_COLUMNS)
            cursor.execute(f"SELECT {columns} FROM staging.source_pace WHERE source = %s FOR UPDATE", (self._source,))
            pace = Pace(*fetch_row(cursor))
            cursor.execute("SELECT clock_timestamp()")
            yield pace, fetch_row(cursor)[0]
            cursor.execute(
                f"UPDATE staging.source_pace SET ({columns}) = %s WHERE source = %s", (astuple(pace), self._source)
            )
