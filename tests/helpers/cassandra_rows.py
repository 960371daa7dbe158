"""Rows written to Cassandra by the driver, without the product's writer."""

from collections.abc import Iterable, Sequence
from typing import Any

from cassandra.cluster import Session
from cassandra.concurrent import execute_concurrent_with_args


def insert_rows(session: Session, table: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Insert rows, given as the values of these columns."""
    markers = ", ".join("?" * len(columns))
    statement = session.prepare(f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({markers})")
    execute_concurrent_with_args(session, statement, rows)
