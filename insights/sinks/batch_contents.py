"""What a micro-batch holds: accepted rows, and records for quarantine, which are read a bounded number at a time."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from insights.model.quarantine import QuarantineRecord, Refusal
from insights.model.reasons import Reason
from insights.sinks.postgres import MicroBatchId, RejectedPortions

REJECTED_BYTES = 16 * 1024 * 1024
"""Bytes of rejected payloads that memory holds at a time."""
_QUARANTINE_COLUMNS = tuple(field.name for field in fields(QuarantineRecord))


class RejectedRecords:
    """The rejected records of a batch, in chunks of `REJECTED_BYTES` or one record; can be iterated more than once."""

    def __init__(self, frame: DataFrame | None) -> None:
        self._frame = frame

    def __iter__(self) -> Iterator[list[QuarantineRecord]]:
        if self._frame is None:
            return
        kept = F.coalesce(F.octet_length("payload"), F.lit(0))
        sizes = self._frame.select("origin", kept.alias("size")).toArrow().to_pylist()
        portions: list[list[str]] = []
        free_bytes = 0
        for row in sizes:
            if row["size"] > free_bytes or not portions:
                portions.append([])
                free_bytes = REJECTED_BYTES
            portions[-1].append(row["origin"])
            free_bytes -= row["size"]
        for origins in portions:
            frame = self._frame if len(portions) == 1 else self._frame.where(self._frame.origin.isin(origins))
            yield [_to_quarantine_record(row) for row in frame.toArrow().to_pylist()]


@dataclass(frozen=True, slots=True)
class BatchContents:
    """A transformed micro-batch. `quarantine` gives the accepted records of these origins as quarantine records."""

    id: MicroBatchId
    accepted: pa.Table
    """The columns of `ACCEPTED_FIELDS`."""
    rejected: RejectedPortions
    quarantine: Callable[[Mapping[str, Refusal]], RejectedPortions]

    def select(self, origins: Sequence[str]) -> pa.Table:
        """The accepted rows of these origins."""
        return self.accepted.filter(pc.is_in(self.accepted["origin"], pa.array(origins, pa.string())))


def _to_quarantine_record(row: dict[str, Any]) -> QuarantineRecord:
    values = {name: row[name] for name in _QUARANTINE_COLUMNS}
    return QuarantineRecord(**values | {"reason": Reason(row["reason"])})
