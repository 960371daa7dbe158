"""Read the results of SQL statements."""

from typing import Any

from psycopg2.extensions import cursor as PgCursor


def fetch_row(cursor: PgCursor) -> tuple[Any, ...]:
    """Fetch the row of a statement that always returns one, such as an aggregate.

    Raises:
        RuntimeError: the statement returned no row.
    """
    row = cursor.fetchone()
    if row is None:
        raise RuntimeError(f"{cursor.query!r} returned no row")
    return row
