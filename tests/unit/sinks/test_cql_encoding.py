"""Columns encoded as CQL, compared with the driver's encoding of each value."""

import random
import struct
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pyarrow as pa
import pytest
from cassandra.cqltypes import BooleanType, DateType, DoubleType, Int32Type, LongType, UTF8Type, UUIDType

from insights.model.schema import ID_BUCKETS, find_id_bucket
from insights.sinks.cql_encoding import (
    compute_buckets,
    compute_id_buckets,
    encode_routing_keys,
    encode_rows,
    parse_uuids,
    split_rows,
)

IDS = [uuid4() for _ in range(50)]
NOW = datetime(2026, 3, 1, 12, 0, 0, 123000, tzinfo=UTC)
BEFORE_1970 = datetime(1931, 12, 31, 23, 59, 59, 999000, tzinfo=UTC)
TYPES: dict[str, tuple[Any, pa.DataType, list[Any]]] = {
    "uuid": (UUIDType, pa.string(), IDS[:5]),
    "varchar": (UTF8Type, pa.string(), ["", "Köln", None, "\U0001f600", "x" * 1000]),
    "int": (Int32Type, pa.int32(), [0, -1, None, 2**31 - 1, -(2**31)]),
    "bigint": (LongType, pa.int64(), [0, -1, None, 2**63 - 1, -(2**63)]),
    "double": (DoubleType, pa.float64(), [0.0, -0.0, None, 1e-300, float("inf")]),
    "boolean": (BooleanType, pa.bool_(), [True, False, None, True, False]),
    "timestamp": (DateType, pa.timestamp("us", "UTC"), [NOW, BEFORE_1970, None, NOW, BEFORE_1970]),
}


def expected_cell(cql_type: str, value: object) -> bytes:
    if value is None:
        return struct.pack(">i", -1)
    content: bytes = TYPES[cql_type][0].serialize(value, 5)
    return struct.pack(">i", len(content)) + content


def column(cql_type: str, values: list[object]) -> pa.Array:
    return pa.array([str(value) if cql_type == "uuid" else value for value in values], TYPES[cql_type][1])


def test_rows_are_encoded_as_the_driver_encodes_value_by_value() -> None:
    cql_types = list(TYPES)
    rows = encode_rows([column(cql_type, list(TYPES[cql_type][2])) for cql_type in cql_types], cql_types, b"prefix")
    for n, row in enumerate(rows.to_pylist()):
        assert row == b"prefix" + b"".join(expected_cell(cql_type, TYPES[cql_type][2][n]) for cql_type in cql_types)


@pytest.mark.parametrize("cql_type", TYPES)
def test_a_slice_of_a_column_is_encoded_without_the_rest(cql_type: str) -> None:
    values = list(TYPES[cql_type][2])
    rows = encode_rows([column(cql_type, values)[1:4]], [cql_type], b"")
    assert rows.to_pylist() == [expected_cell(cql_type, value) for value in values[1:4]]


def test_a_routing_key_is_the_serialized_partition_key() -> None:
    ids = column("uuid", list(IDS[:2]))
    assert encode_routing_keys([ids], ["uuid"]).to_pylist() == [value.bytes for value in IDS[:2]]
    pairs = encode_routing_keys([column("varchar", ["DE", "US"]), column("int", [3, 15])], ["varchar", "int"])
    assert pairs.to_pylist() == [b"\0\2DE\0\0\4\0\0\0\3\0", b"\0\2US\0\0\4\0\0\0\x0f\0"]


def test_a_bucket_is_the_first_hexadecimal_digit_of_the_user_id() -> None:
    ids = column("uuid", list(IDS))
    assert compute_buckets(ids).to_pylist() == [int(str(value)[0], 16) for value in IDS]
    assert compute_id_buckets(ids).to_pylist() == [find_id_bucket(value) for value in IDS]


def test_the_bucket_of_an_id_is_its_first_ten_bits() -> None:
    assert find_id_bucket(UUID(int=0)) == 0
    assert find_id_bucket(UUID("004fffff-0000-4000-8000-000000000000")) == 1
    assert find_id_bucket(UUID(int=(1 << 128) - 1)) == ID_BUCKETS - 1


@pytest.mark.parametrize("text", ["", "nonsense", "g" * 36, str(UUID(int=1)) + "0", None])
def test_text_that_is_not_a_uuid_is_an_error(text: str | None) -> None:
    with pytest.raises(ValueError, match="not a UUID"):
        parse_uuids(pa.array([str(IDS[0]), text], pa.string()))


def test_a_type_that_no_table_has_is_an_error() -> None:
    with pytest.raises(ValueError, match="inet"):
        encode_rows([pa.array(["::1"])], ["inet"], b"")


def test_ranges_cover_every_row_once_within_both_limits() -> None:
    random_ = random.Random(1)
    for _ in range(50):
        sizes = [random_.choice([1, 10, 100, 500]) for _ in range(random_.randrange(1, 60))]
        rows = pa.array([b"x" * size for size in sizes], pa.binary())
        ranges = split_rows(rows, overhead=5, max_rows=7, max_bytes=300)
        assert [n for start, end in ranges for n in range(start, end)] == list(range(len(sizes)))
        for start, end in ranges:
            assert end - start <= 7
            assert end - start == 1 or sum(sizes[start:end]) + 5 * (end - start) <= 300
