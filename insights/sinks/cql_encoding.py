"""Encode Arrow columns as CQL, column by column: no Python code runs per value."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from insights.model.schema import build_cql_types

NULL_CELL = b"\xff\xff\xff\xff"
_HEX_DIGITS = np.array([i for i in range(36) if i not in (8, 13, 18, 23)])
_NIBBLES = np.full(256, 0xFF, np.uint8)
for _value, _digit in enumerate("0123456789abcdef"):
    _NIBBLES[ord(_digit)] = _NIBBLES[ord(_digit.upper())] = _value
_NUMPY_TYPES = {"int": ">i4", "bigint": ">i8", "double": ">f8", "boolean": "u1", "timestamp": ">i8"}


def encode_rows(columns: Sequence[pa.Array], cql_types: Sequence[str], prefix: bytes) -> pa.BinaryArray:
    """Encode each row as `prefix` followed by its values in CQL's `[length][bytes]` form.

    Args:
        columns: arrays of equal length without chunks; UUIDs as text, timestamps are truncated to milliseconds, binary
            values are already encoded.
        cql_types: the type of each column by the driver's name (`varchar` for text).
    Raises:
        ValueError: a UUID is not in its 36-character form, or a type is not used by the user tables.
    """
    count = len(columns[0])
    parts = [pa.repeat(pa.scalar(prefix, pa.binary()), count)]
    for column, cql_type in zip(columns, cql_types, strict=True):
        is_bytes = cql_type == "varchar" or pa.types.is_binary(column.type)
        parts += _encode_text_cells(column) if is_bytes else [_encode_fixed_cells(column, cql_type)]
    return pc.binary_join_element_wise(*parts, pa.scalar(b"", pa.binary()))


def encode_fields(users: pa.Table, fields: Sequence[str]) -> pa.BinaryArray:
    """Encode these fields of each user in CQL's `[length][bytes]` form, which is also that of a value of a type.

    Raises:
        ValueError: as for `encode_rows`.
    """
    types = build_cql_types()
    columns = [users[name].combine_chunks() for name in fields]
    return encode_rows(columns, [types[name].replace("text", "varchar") for name in fields], b"")


def encode_routing_keys(columns: Sequence[pa.Array], cql_types: Sequence[str]) -> pa.BinaryArray:
    """The serialized partition key of each row, as the partitioner hashes it."""
    values = [_encode_values(column, cql_type) for column, cql_type in zip(columns, cql_types, strict=True)]
    if len(values) == 1:
        return values[0]
    parts: list[pa.Array] = []
    for value in values:
        lengths = pc.binary_length(value).to_numpy(zero_copy_only=False).astype(">u2")
        parts += [
            _to_binary(lengths.view(np.uint8).reshape(-1, 2)),
            value,
            pa.repeat(pa.scalar(b"\0", pa.binary()), len(value)),
        ]
    return pc.binary_join_element_wise(*parts, pa.scalar(b"", pa.binary()))


def compute_buckets(user_ids: pa.Array) -> pa.Array:
    """The `bucket` of each user: the first hexadecimal digit of the id."""
    return pa.array((parse_uuids(user_ids)[:, 0] >> 4).astype(np.int32))


def compute_id_buckets(user_ids: pa.Array) -> pa.Array:
    """The `id_bucket` of each user: the first ten bits of the id."""
    first, second = parse_uuids(user_ids)[:, :2].astype(np.int32).T
    return pa.array(first << 2 | second >> 6)


def parse_uuids(column: pa.Array) -> NDArray[np.uint8]:
    """Parse textual UUIDs into an array of shape (rows, 16), dtype uint8.

    Raises:
        ValueError: one is null or not in its 36-character form.
    """
    lengths = pc.min_max(pc.binary_length(column)).as_py()
    if column.null_count or (len(column) and (lengths["min"], lengths["max"]) != (36, 36)):
        raise ValueError("a user id is not a UUID of 36 characters")
    text = _concatenated_bytes(column).reshape(-1, 36)
    nibbles: NDArray[np.uint8] = _NIBBLES[text[:, _HEX_DIGITS]]
    if (nibbles == 0xFF).any():
        raise ValueError("a user id is not a UUID in hexadecimal")
    values: NDArray[np.uint8] = np.bitwise_or(nibbles[:, 0::2] << 4, nibbles[:, 1::2])
    return values


def _encode_text_cells(column: pa.Array) -> list[pa.Array]:
    column = column.cast(pa.binary())
    lengths = pc.fill_null(pc.binary_length(column), -1).to_numpy(zero_copy_only=False).astype(">i4")
    content = pc.fill_null(column, b"") if column.null_count else column
    return [_to_binary(lengths.view(np.uint8).reshape(-1, 4)), content]


def _encode_fixed_cells(column: pa.Array, cql_type: str) -> pa.Array:
    values = _encode_fixed_values(column, cql_type)
    width = values.shape[1]
    cells = np.empty((len(column), 4 + width), np.uint8)
    cells[:, :4] = np.frombuffer(width.to_bytes(4, "big"), np.uint8)
    cells[:, 4:] = values
    return pc.if_else(column.is_valid(), _to_binary(cells), NULL_CELL) if column.null_count else _to_binary(cells)


def _encode_values(column: pa.Array, cql_type: str) -> pa.Array:
    return column.cast(pa.binary()) if cql_type == "varchar" else _to_binary(_encode_fixed_values(column, cql_type))


def _encode_fixed_values(column: pa.Array, cql_type: str) -> NDArray[np.uint8]:
    """Big-endian values of shape (rows, width), dtype uint8; the bytes of a null are undefined."""
    if cql_type == "uuid":
        return parse_uuids(column)
    if cql_type not in _NUMPY_TYPES:
        raise ValueError(f"the user tables have no column of CQL type {cql_type}")
    if cql_type == "timestamp":
        column = pc.cast(column, pa.timestamp("ms", column.type.tz), safe=False).cast(pa.int64())
    elif cql_type == "boolean":
        column = column.cast(pa.uint8())
    numbers: NDArray[np.generic] = pc.fill_null(column, 0).to_numpy(zero_copy_only=False).astype(_NUMPY_TYPES[cql_type])
    return numbers.view(np.uint8).reshape(len(column), -1)


def _to_binary(values: np.ndarray) -> pa.Array:
    """Arrow binary values from an array of shape (rows, width), dtype uint8."""
    count, width = values.shape
    offsets = np.arange(0, (count + 1) * width, width, dtype=np.int32)
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(np.ascontiguousarray(values))]
    return pa.Array.from_buffers(pa.binary(), count, buffers)


def _concatenated_bytes(column: pa.Array) -> NDArray[np.uint8]:
    """The concatenated bytes of a text or binary array without nulls."""
    _, offsets, data = column.cast(pa.binary()).buffers()
    ends = np.frombuffer(offsets, np.int32)[column.offset : column.offset + len(column) + 1]
    return np.frombuffer(data or b"", np.uint8)[ends[0] : ends[-1]]


def split_rows(rows: pa.BinaryArray, overhead: int, max_rows: int, max_bytes: int) -> list[tuple[int, int]]:
    """Split the rows into half-open ranges (start, end) of at most `max_rows` and `max_bytes`, but at least one row.

    `overhead` is added to the bytes of every row.
    """
    ends = read_row_offsets(rows) + overhead * np.arange(len(rows) + 1, dtype=np.int64)
    ranges, start = [], 0
    while start < len(rows):
        fitting = int(np.searchsorted(ends, ends[start] + max_bytes, side="right")) - 1
        end = max(start + 1, min(fitting, start + max_rows, len(rows)))
        ranges.append((start, end))
        start = end
    return ranges


def read_row_offsets(rows: pa.BinaryArray) -> NDArray[np.int64]:
    """The start of each row in the array's data, and the end of the last one; shape (rows + 1,)."""
    return np.frombuffer(rows.buffers()[1], np.int32)[rows.offset : rows.offset + len(rows) + 1].astype(np.int64)
