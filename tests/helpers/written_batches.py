"""Batches of users, or of deletions of old keys, written to Cassandra without anything else."""

from collections.abc import Mapping

import pyarrow as pa

from insights.sinks.cassandra import CassandraWriter
from insights.sinks.user_tables import write_batch
from tests.helpers.accepted_users import table

_NO_COUNTS = pa.schema({"dimension": pa.string(), "value": pa.string(), "count": pa.int64(), "seq": pa.int64()})
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
    return write_batch(writer, users, _NO_COUNTS.empty_table(), _MOVES.empty_table()).users


def delete_moved(writer: CassandraWriter, moves: list[dict[str, object]]) -> None:
    """Delete the rows under old keys."""
    write_batch(writer, table([]), _NO_COUNTS.empty_table(), pa.Table.from_pylist(moves, _MOVES))
