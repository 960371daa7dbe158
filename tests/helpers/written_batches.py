"""Batches of users, or of deletions of old keys, written to Cassandra without anything else."""

from collections.abc import Mapping

import pyarrow as pa

from insights.sinks import user_tables
from insights.sinks.cassandra import CassandraWriter
from insights.sinks.user_ranges import MOVES_SCHEMA
from tests.helpers.accepted_users import table


def write_users(writer: CassandraWriter, users: pa.Table) -> Mapping[int, str]:
    """Write users to every table. Returns what Cassandra refuses, by index."""
    refused = user_tables.write_users(writer, users, MOVES_SCHEMA.empty_table())
    if not refused:
        user_tables.write_arrivals(writer, users)
    return refused


def delete_moved(writer: CassandraWriter, moves: list[dict[str, object]]) -> None:
    """Delete the rows under old keys."""
    user_tables.write_users(writer, table([]), pa.Table.from_pylist(moves, MOVES_SCHEMA))
