"""What a micro-batch holds: accepted rows, and records for quarantine, which are read a bounded number at a time."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields

import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from insights.model.quarantine import QuarantineRecord, Refusal
from insights.model.reasons import Reason
from insights.sinks.accepted_rows import AcceptedRows
from insights.sinks.postgres import MicroBatchId, RejectedPortions

REJECTED_BYTES = 16 * 1024 * 1024
"""Bytes of rejected payloads that memory holds as Python objects at a time."""
COLLECTED_BYTES = 4096
"""The largest payload that is collected with its batch. Others are read when they are written."""
_QUARANTINE_COLUMNS = tuple(field.name for field in fields(QuarantineRecord))


class RejectedRecords:
    """Rejected records, in chunks of `REJECTED_BYTES` or one record; can be iterated more than once.

    Args:
        collected: records with their payloads.
        remaining: a frame of others, which are read a chunk at a time; None if there are none.
    """

    def __init__(self, collected: pa.Table | None = None, remaining: DataFrame | None = None) -> None:
        self._collected, self._remaining = collected, remaining

    def __iter__(self) -> Iterator[list[QuarantineRecord]]:
        if self._collected is not None:
            sizes = pc.fill_null(pc.binary_length(self._collected["payload"]), 0).to_pylist()
            for part in split_by_bytes(sizes):
                yield _to_quarantine_records(self._collected.slice(part.start, len(part)))
        if self._remaining is not None:
            yield from self._read_remaining(self._remaining)

    def _read_remaining(self, frame: DataFrame) -> Iterator[list[QuarantineRecord]]:
        size = F.coalesce(F.octet_length("payload"), F.lit(0)).alias("size")
        sizes = frame.select("origin", size).toArrow()
        origins = sizes["origin"].to_pylist()
        parts = list(split_by_bytes(sizes["size"].to_pylist()))
        for part in parts:
            chosen = frame if len(parts) == 1 else frame.where(frame.origin.isin(origins[part.start : part.stop]))
            yield _to_quarantine_records(chosen.toArrow())


def split_by_bytes(sizes: Sequence[int]) -> Iterator[range]:
    """Yield ranges of consecutive records of at most `REJECTED_BYTES` together, or of one record."""
    start = total = 0
    for index, size in enumerate(sizes):
        if total + size > REJECTED_BYTES and index > start:
            yield range(start, index)
            start, total = index, 0
        total += size
    if start < len(sizes):
        yield range(start, len(sizes))


@dataclass(frozen=True, slots=True)
class BatchContents:
    """A transformed micro-batch. `quarantine` gives the accepted records of these origins as quarantine records."""

    id: MicroBatchId
    accepted: AcceptedRows
    rejected: RejectedPortions
    quarantine: Callable[[Mapping[str, Refusal]], RejectedPortions]

    def select(self, origins: Sequence[str]) -> pa.Table:
        """The accepted rows of these origins, in the columns of `ACCEPTED_FIELDS`."""
        rows = self.accepted.rows
        return rows.filter(pc.is_in(rows["origin"], pa.array(origins, pa.string())))


def split_outcomes(outcomes: pa.Table) -> tuple[pa.Table, pa.Table, bool]:
    """Split collected outcomes into accepted rows and rejected records.

    Returns them with whether some of the records have a payload that was too large to be collected; these records are
    not in the table.
    """
    accepted, rejected = _unpack(outcomes["accepted"]), _unpack(outcomes["rejected"])
    large = pc.and_(
        pc.greater(rejected["size"], COLLECTED_BYTES), pc.not_equal(rejected["reason"], Reason.TOO_LARGE.value)
    )
    return accepted, rejected.filter(pc.invert(large)), bool(pc.any(large).as_py())


def _unpack(structs: pa.ChunkedArray) -> pa.Table:
    """The structs that are not null, as a table of their fields."""
    rows = structs.filter(structs.is_valid()).combine_chunks()
    return pa.table(rows.flatten(), [field.name for field in rows.type])


def _to_quarantine_records(rows: pa.Table) -> list[QuarantineRecord]:
    return [
        QuarantineRecord(**{name: row[name] for name in _QUARANTINE_COLUMNS} | {"reason": Reason(row["reason"])})
        for row in rows.to_pylist()
    ]
