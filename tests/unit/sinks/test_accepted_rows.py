"""Accepted rows as text: what is decoded is what was encoded, and each row keeps its number and its digest."""

import random
from itertools import product
from typing import Any
from uuid import UUID

import pyarrow as pa
import pytest

from insights.sinks.accepted_rows import AcceptedRows, encode_part, encode_rows
from insights.sinks.row_digests import digest_users
from insights.sinks.user_rows import ACCEPTED_SCHEMA, STORED_SCHEMA, build_user_schema, format_csv, parse_csv
from tests.helpers.accepted_users import NASTY, table, user

TYPES = {pa.string(): ["", "NULL", *NASTY], pa.bool_(): [True, False], pa.float64(): [0.1, -1e-7, 1e300]}


def make_users(count: int, **fields: Any) -> list[dict[str, Any]]:
    random_ = random.Random(count)
    return [user(random_, UUID(int=random_.getrandbits(128)), n + 1, str(n), **fields) for n in range(count)]


@pytest.mark.parametrize("unversioned", [False, True])
def test_rows_are_decoded_as_they_were_encoded(unversioned: bool) -> None:
    rows = table(make_users(200, unversioned=unversioned))
    encoded = encode_rows(rows)
    assert (len(encoded), encoded.unversioned) == (200, unversioned)
    assert encoded.rows.equals(rows.cast(ACCEPTED_SCHEMA))


def test_the_parts_of_several_tasks_keep_their_numbers() -> None:
    first, second = table(make_users(3)), table(make_users(2))
    parts = [encode_part(first), encode_part(second, 1 << 40)]
    accepted = AcceptedRows(parts, 5, unversioned=False)
    assert accepted.numbered["n"].to_pylist() == [0, 1, 2, 1 << 40, (1 << 40) + 1]
    assert accepted.rows["user_id"].to_pylist() == (first["user_id"].to_pylist() + second["user_id"].to_pylist())


def test_the_batch_ids_of_each_part_are_read_once() -> None:
    pages: list[list[str | None]] = [["5eed/1", "5eed/1", None], ["5eed/1", "ü,\n/2"]]
    parts = [encode_part(table([make_users(1, batch_id=page)[0] for page in part])) for part in pages]
    accepted = AcceptedRows(parts, 5, unversioned=False)
    assert list(accepted.iterate_batch_ids()) == ["5eed/1", None, "5eed/1", "ü,\n/2"]


def test_no_rows_are_no_text() -> None:
    empty = encode_rows(table([]))
    assert (len(empty), empty.rows.num_rows, empty.rows.schema) == (0, 0, ACCEPTED_SCHEMA)


def test_a_part_has_the_digest_of_each_row() -> None:
    rows = table(make_users(4))
    schema = pa.schema([("n", pa.int64()), ("digest", pa.int64()), *ACCEPTED_SCHEMA])
    assert parse_csv(encode_part(rows), schema)["digest"].to_pylist() == digest_users(rows).to_pylist()


def test_null_and_the_empty_text_stay_apart_in_every_nullable_column() -> None:
    full = make_users(1)[0]
    for field, value in product(build_user_schema(), [None, *NASTY]):
        if field.nullable and (value is None or field.type == pa.string()):
            rows = pa.Table.from_pylist([full | {field.name: value, "origin": None}], STORED_SCHEMA)
            assert parse_csv(format_csv(rows), STORED_SCHEMA)[field.name].to_pylist() == [value]
