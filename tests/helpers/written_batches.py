"""Batches of users, or of deletions of old keys, written to Cassandra without anything else."""

from collections.abc import Mapping

import pyarrow as pa

from insights.sinks import user_tables
from insights.sinks.cassandra import CassandraWriter
from tests.helpers.accepted_users import table

_MOVES = pa.schema(
    {
        "user_id": pa.string(),
        "version": pa.int64(),
        "country_code": pa.string(),
        "registered_month": pa.string(),
        "registered_at": pa.timestamp("us", "UTC"),
    }
)


def write_users(writer: CassandraWriter, users: pa.Table) -> Mapping[int, str]:
    """Write users to every table. Returns what Cassandra refuses, by index."""
    refused = user_tables.write_users(writer, users, _MOVES.empty_table())
    if not refused:
        user_tables.write_arrivals(writer, users)
    return refused


def delete_moved(writer: CassandraWriter, moves: list[dict[str, object]]) -> None:
    """Delete the rows under old keys."""
    user_tables.write_users(writer, table([]), pa.Table.from_pylist(moves, _MOVES))
