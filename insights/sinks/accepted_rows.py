"""The accepted rows of a micro-batch, in the form in which executors encode them and PostgreSQL copies them."""

import io
from collections.abc import Iterator, Sequence
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from psycopg2.extensions import cursor as PgCursor

from insights.model.schema import ACCEPTED_FIELDS
from insights.sinks.row_digests import digest_users
from insights.sinks.user_rows import ACCEPTED_SCHEMA, format_csv, parse_csv

_NUMBER, _DIGEST = pa.field("n", pa.int64()), pa.field("digest", pa.int64())
_ENCODED_SCHEMA = pa.schema([_NUMBER, _DIGEST, *ACCEPTED_SCHEMA])
_COPY = f"COPY incoming ({', '.join(_ENCODED_SCHEMA.names)}) FROM STDIN (FORMAT csv)"
_CHUNK_BYTES = 1 << 18


class AcceptedRows:
    """Rows in parts of CSV text, each with a number that is unique in the batch, and its digest.

    The driver passes the text on to PostgreSQL as it is. Rows are decoded only if a store refuses one of them, or if a
    version changes.

    Args:
        parts: the results of `encode_part`.
        count: the number of rows.
        unversioned: whether any row has no version of its own.
    """

    def __init__(self, parts: Sequence[bytes], count: int, *, unversioned: bool) -> None:
        self._parts, self._count, self.unversioned = parts, count, unversioned

    def __len__(self) -> int:
        return self._count

    @cached_property
    def numbered(self) -> pa.Table:
        """The rows, decoded: `n` and the columns of `ACCEPTED_FIELDS`."""
        tables = [parse_csv(part, _ENCODED_SCHEMA) for part in self._parts]
        return pa.concat_tables([_ENCODED_SCHEMA.empty_table(), *tables]).drop_columns("digest")

    @property
    def rows(self) -> pa.Table:
        """The rows, decoded, in the columns of `ACCEPTED_FIELDS`."""
        return self.numbered.drop_columns("n")

    def iterate_batch_ids(self) -> Iterator[str | None]:
        """The batch ids of the rows, each once per part."""
        for part in self._parts:
            yield from parse_csv(part, _ENCODED_SCHEMA, ["batch_id"])["batch_id"].unique().to_pylist()

    def copy(self, cursor: PgCursor) -> None:
        """Copy the rows to the temporary table `incoming`."""
        for part in self._parts:
            cursor.copy_expert(_COPY, io.BytesIO(part), size=_CHUNK_BYTES)


def encode_part(rows: pa.Table, first_number: int = 0) -> bytes:
    """Encode rows with the columns of `ACCEPTED_FIELDS`, numbered from `first_number`."""
    numbers = pa.array(np.arange(first_number, first_number + rows.num_rows, dtype=np.int64))
    columns = [rows[name] for name in ACCEPTED_FIELDS]
    return format_csv(pa.table([numbers, digest_users(rows), *columns], _ENCODED_SCHEMA.names))


def encode_rows(rows: pa.Table) -> AcceptedRows:
    """Encode rows that are not in a batch of Spark's."""
    parts = [encode_part(rows)] if rows.num_rows else []
    return AcceptedRows(parts, rows.num_rows, unversioned=is_any_unversioned(rows))


def is_any_unversioned(rows: pa.Table) -> bool:
    """Whether any of the rows has no version of its own."""
    return bool(pc.any(rows["unversioned"]).as_py())
