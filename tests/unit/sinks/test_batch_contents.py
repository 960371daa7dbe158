"""What is collected of a batch, and how many rejected records are in memory at a time."""

from dataclasses import fields
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pytest

from insights.model.quarantine import QuarantineRecord
from insights.model.reasons import Reason
from insights.sinks import batch_contents
from insights.sinks.batch_contents import COLLECTED_BYTES, RejectedRecords, split_by_bytes, split_outcomes

TYPES = {"version": pa.int64(), "event_time": pa.timestamp("us", "UTC"), "redrives": pa.int32()} | {
    "size": pa.int32(),
    "payload": pa.binary(),
}
SCHEMA = pa.schema([(field.name, TYPES.get(field.name, pa.string())) for field in fields(QuarantineRecord)])
USERS = [{"origin": "users.raw/0/7", "age": None}, {"origin": "users.raw/0/8", "age": 5}]
# As Spark declares a field that is never null.
USER = pa.struct([pa.field("origin", pa.string(), nullable=False), pa.field("age", pa.int32())])


def rejected_row(number: int, size: int, payload: bytes | None, reason: Reason = Reason.SCHEMA) -> dict[str, Any]:
    return {
        "origin": f"users.raw/0/{number}",
        "event_id": str(number),
        "key": None,
        "batch_id": None,
        "reason": reason.value,
        "field": "value",
        "detail": "bad",
        "version": number,
        "event_time": datetime(2026, 1, 1, tzinfo=UTC),
        "redrives": 0,
        "size": size,
        "sha256": "0" * 64,
        "payload": payload,
    }


def list_origins(records: RejectedRecords) -> list[list[str]]:
    return [[record.origin for record in part] for part in records]


@pytest.mark.parametrize(
    ("sizes", "parts"),
    [
        ([], []),
        ([0, 0, 0], [range(3)]),
        ([6, 4, 1], [range(2), range(2, 3)]),
        ([11, 11, 2, 8, 1], [range(1), range(1, 2), range(2, 4), range(4, 5)]),
    ],
)
def test_records_are_split_by_the_bytes_of_their_payloads(
    monkeypatch: pytest.MonkeyPatch, sizes: list[int], parts: list[range]
) -> None:
    monkeypatch.setattr(batch_contents, "REJECTED_BYTES", 10)
    assert list(split_by_bytes(sizes)) == parts


def test_collected_records_are_read_in_parts_and_more_than_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_contents, "REJECTED_BYTES", 10)
    rows = [rejected_row(number, 6, b"x" * 6) for number in range(2)] + [rejected_row(2, 0, None)]
    records = RejectedRecords(pa.Table.from_pylist(rows, SCHEMA))
    expected = [["users.raw/0/0"], ["users.raw/0/1", "users.raw/0/2"]]
    assert list_origins(records) == list_origins(records) == expected
    assert [record.payload for part in records for record in part] == [b"x" * 6, b"x" * 6, None]


def collect(*rejected: dict[str, Any]) -> pa.Table:
    """Outcomes of a user, the rejected records and another user."""
    none: list[dict[str, Any] | None] = [None] * len(rejected)
    users = pa.array([USERS[0], *none, USERS[1]], USER)
    return pa.table([users, pa.array([None, *rejected, None], pa.struct(SCHEMA))], ["accepted", "rejected"])


def test_outcomes_are_split_into_users_and_rejected_records() -> None:
    rows = [
        rejected_row(1, COLLECTED_BYTES, b"x"),
        rejected_row(2, COLLECTED_BYTES + 1, None, Reason.TOO_LARGE),
        rejected_row(3, 0, None),
    ]
    accepted, rejected, has_large = split_outcomes(collect(*rows))
    assert accepted.to_pylist() == USERS
    assert (rejected, has_large) == (pa.Table.from_pylist(rows, SCHEMA), False)

    accepted, rejected, has_large = split_outcomes(collect())
    assert (accepted.num_rows, rejected.num_rows, has_large) == (2, 0, False)


def test_a_record_whose_payload_was_not_collected_is_left_out_and_announced() -> None:
    rows = [rejected_row(4, COLLECTED_BYTES + 1, None), rejected_row(5, COLLECTED_BYTES, b"x")]
    _, rejected, has_large = split_outcomes(collect(*rows))
    assert (rejected["origin"].to_pylist(), has_large) == (["users.raw/0/5"], True)
