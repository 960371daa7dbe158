"""Arrow columns as CQL: whole columns become the bytes of a batch's rows, with no work per value in Python."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

NULL_CELL = b"\xff\xff\xff\xff"
_HEX_DIGITS = np.array([i for i in range(36) if i not in (8, 13, 18, 23)])
_NIBBLES = np.full(256, 0xFF, np.uint8)
for _value, _digit in enumerate("0123456789abcdef"):
    _NIBBLES[ord(_digit)] = _NIBBLES[ord(_digit.upper())] = _value
_NUMBERS = {"int": ">i4", "bigint": ">i8", "double": ">f8", "boolean": "u1", "timestamp": ">i8"}


def encode_rows(columns: Sequence[pa.Array], kinds: Sequence[str], prefix: bytes) -> pa.BinaryArray:
    """Each row as `prefix` and its values in CQL's `[length][bytes]` form.

    Args:
        columns: equally long arrays without chunks; UUIDs as text, instants as timestamps (milliseconds are kept).
        kinds: the type of each column as the driver names it (`varchar` for text).
    Raises:
        ValueError: a UUID is not in its 36 character form, or a type is none of the record's.
    """
    count = len(columns[0])
    parts = [pa.repeat(pa.scalar(prefix, pa.binary()), count)]
    for column, kind in zip(columns, kinds, strict=True):
        parts += _text_cells(column) if kind == "varchar" else [_fixed_cells(column, kind)]
    return pc.binary_join_element_wise(*parts, pa.scalar(b"", pa.binary()))


def encode_routing_keys(columns: Sequence[pa.Array], kinds: Sequence[str]) -> pa.BinaryArray:
    """The serialized partition key of each row, which the partitioner hashes."""
    values = [_values(column, kind) for column, kind in zip(columns, kinds, strict=True)]
    if len(values) == 1:
        return values[0]
    parts: list[pa.Array] = []
    for value in values:
        lengths = pc.binary_length(value).to_numpy(zero_copy_only=False).astype(">u2")
        parts += [
            _fixed(lengths.view(np.uint8).reshape(-1, 2)),
            value,
            pa.repeat(pa.scalar(b"\0", pa.binary()), len(value)),
        ]
    return pc.binary_join_element_wise(*parts, pa.scalar(b"", pa.binary()))


def compute_buckets(user_ids: pa.Array) -> pa.Array:
    """The `bucket` of each user: the first hexadecimal digit of the id."""
    return pa.array((parse_uuids(user_ids)[:, 0] >> 4).astype(np.int32))


def parse_uuids(column: pa.Array) -> NDArray[np.uint8]:
    """Textual UUIDs as an array of shape (rows, 16), dtype uint8.

    Raises:
        ValueError: one is null or not in its 36 character form.
    """
    lengths = pc.min_max(pc.binary_length(column)).as_py()
    if column.null_count or (len(column) and (lengths["min"], lengths["max"]) != (36, 36)):
        raise ValueError("a user id is not a UUID of 36 characters")
    text = _content(column).reshape(-1, 36)
    nibbles: NDArray[np.uint8] = _NIBBLES[text[:, _HEX_DIGITS]]
    if (nibbles == 0xFF).any():
        raise ValueError("a user id is not a UUID in hexadecimal")
    values: NDArray[np.uint8] = np.bitwise_or(nibbles[:, 0::2] << 4, nibbles[:, 1::2])
    return values


def _text_cells(column: pa.Array) -> list[pa.Array]:
    column = column.cast(pa.binary())
    lengths = pc.fill_null(pc.binary_length(column), -1).to_numpy(zero_copy_only=False).astype(">i4")
    content = pc.fill_null(column, b"") if column.null_count else column
    return [_fixed(lengths.view(np.uint8).reshape(-1, 4)), content]


def _fixed_cells(column: pa.Array, kind: str) -> pa.Array:
    values = _fixed_values(column, kind)
    width = values.shape[1]
    cells = np.empty((len(column), 4 + width), np.uint8)
    cells[:, :4] = np.frombuffer(width.to_bytes(4, "big"), np.uint8)
    cells[:, 4:] = values
    return pc.if_else(column.is_valid(), _fixed(cells), NULL_CELL) if column.null_count else _fixed(cells)


def _values(column: pa.Array, kind: str) -> pa.Array:
    return column.cast(pa.binary()) if kind == "varchar" else _fixed(_fixed_values(column, kind))


def _fixed_values(column: pa.Array, kind: str) -> NDArray[np.uint8]:
    """Big-endian values, shape (rows, width), dtype uint8; what stands for a null is undefined."""
    if kind == "uuid":
        return parse_uuids(column)
    if kind not in _NUMBERS:
        raise ValueError(f"CQL type {kind} is none of the record's")
    if kind == "timestamp":
        column = pc.cast(column, pa.timestamp("ms", column.type.tz), safe=False).cast(pa.int64())
    elif kind == "boolean":
        column = column.cast(pa.uint8())
    numbers: NDArray[np.generic] = pc.fill_null(column, 0).to_numpy(zero_copy_only=False).astype(_NUMBERS[kind])
    return numbers.view(np.uint8).reshape(len(column), -1)


def _fixed(values: np.ndarray) -> pa.Array:
    """An array of shape (rows, width) as binary values of that width."""
    count, width = values.shape
    offsets = np.arange(0, (count + 1) * width, width, dtype=np.int32)
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(np.ascontiguousarray(values))]
    return pa.Array.from_buffers(pa.binary(), count, buffers)


def _content(column: pa.Array) -> NDArray[np.uint8]:
    """The bytes of a text or binary array without nulls, end to end."""
    _, offsets, data = column.cast(pa.binary()).buffers()
    ends = np.frombuffer(offsets, np.int32)[column.offset : column.offset + len(column) + 1]
    return np.frombuffer(data or b"", np.uint8)[ends[0] : ends[-1]]


def split_rows(rows: pa.BinaryArray, overhead: int, most_rows: int, most_bytes: int) -> list[tuple[int, int]]:
    """Consecutive rows as (first, last + 1), at most `most_rows` and `most_bytes` each, but at least one row.

    `overhead` is added to the bytes of every row.
    """
    ends = read_row_offsets(rows) + overhead * np.arange(len(rows) + 1, dtype=np.int64)
    spans, first = [], 0
    while first < len(rows):
        fitting = int(np.searchsorted(ends, ends[first] + most_bytes, side="right")) - 1
        last = max(first + 1, min(fitting, first + most_rows, len(rows)))
        spans.append((first, last))
        first = last
    return spans


def read_row_offsets(rows: pa.BinaryArray) -> NDArray[np.int64]:
    """Where each row begins in the array's data, and where the last ends."""
    return np.frombuffer(rows.buffers()[1], np.int32)[rows.offset : rows.offset + len(rows) + 1].astype(np.int64)
