"""The project's writer inside Spark's Python workers, for `mapInArrow`. Each worker keeps its connection."""

from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any

import pyarrow as pa

from insights.clients.connections import make_cassandra_cluster
from insights.model.schema import PACKED_COLUMNS
from insights.settings import CassandraSettings
from insights.sinks.cassandra import CassandraWriter
from insights.sinks.cql_encoding import encode_fields


def write(
    table: str, columns: tuple[str, ...], settings: dict[str, Any], batches: Iterable[pa.RecordBatch]
) -> Iterator[pa.RecordBatch]:
    """Write a partition and yield the number of its rows."""
    rows = pa.Table.from_batches(list(batches)).combine_chunks()
    for column in PACKED_COLUMNS.keys() & set(columns):
        rows = rows.append_column(column, encode_fields(rows, PACKED_COLUMNS[column]))
    written = _make_writer(**settings).upsert(table, columns, rows, "version")
    yield pa.RecordBatch.from_pydict({"rows": [written]})


@cache
def _make_writer(
    host: str, port: int, local_dc: str, keyspace: str, in_flight: int, batch_rows: int
) -> CassandraWriter:
    settings = CassandraSettings(hosts=host, port=port, local_dc=local_dc, keyspace=keyspace)
    session = make_cassandra_cluster(settings).connect(keyspace)
    return CassandraWriter(session, in_flight=in_flight, batch_rows=batch_rows)
