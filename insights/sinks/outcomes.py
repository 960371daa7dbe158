"""What the executors return of a transformed micro-batch: parts that the driver passes on without decoding them."""

from collections.abc import Iterator

import pyarrow as pa
from pyspark import TaskContext
from pyspark.sql import DataFrame

from insights.sinks.accepted_rows import AcceptedRows, encode_part, is_any_unversioned
from insights.sinks.batch_contents import split_outcomes

_SCHEMA = pa.schema(
    {
        "accepted": pa.int64(),
        "unversioned": pa.bool_(),
        "rows": pa.binary(),
        "rejected": pa.binary(),
        "has_large": pa.bool_(),
    }
)
_DDL = "accepted BIGINT, unversioned BOOLEAN, rows BINARY, rejected BINARY, has_large BOOLEAN"
_NUMBERS_PER_TASK = 1 << 40


def encode_outcomes(outcomes: DataFrame) -> DataFrame:
    """Encode the outcomes of a batch on the executors: the result has a row for every few thousand messages."""
    return outcomes.mapInArrow(_encode_partition, _DDL)


def collect_outcomes(encoded: DataFrame) -> tuple[AcceptedRows, pa.Table | None, bool]:
    """Execute a batch of encoded outcomes, in one job.

    Returns the accepted rows, the rejected records in the fields of `QuarantineRecord` or None if there are none, and
    whether some of the records have a payload that was too large to be collected; these records are not in the table.
    """
    parts = encoded.toArrow()
    accepted = AcceptedRows(
        [text for text in parts["rows"].to_pylist() if text],
        sum(parts["accepted"].to_pylist()),
        unversioned=any(parts["unversioned"].to_pylist()),
    )
    rejected = [_read_table(content) for content in parts["rejected"].to_pylist() if content]
    return accepted, pa.concat_tables(rejected) if rejected else None, any(parts["has_large"].to_pylist())


def _encode_partition(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Encode the outcomes of a partition, in the task that derives them. Yields a row for each of Arrow's batches."""
    context = TaskContext.get()
    number = _NUMBERS_PER_TASK * (context.partitionId() if context else 0)
    for batch in batches:
        accepted, rejected, has_large = split_outcomes(pa.Table.from_batches([batch]))
        part = {
            "accepted": accepted.num_rows,
            "unversioned": is_any_unversioned(accepted),
            "rows": encode_part(accepted, number) if accepted.num_rows else None,
            "rejected": _write_table(rejected) if rejected.num_rows else None,
            "has_large": has_large,
        }
        yield pa.RecordBatch.from_pylist([part], _SCHEMA)
        number += accepted.num_rows


def _write_table(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


def _read_table(content: bytes) -> pa.Table:
    with pa.ipc.open_stream(content) as reader:
        return reader.read_all()
