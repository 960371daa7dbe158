"""The digest of a batch's row."""

import pytest

from insights.model.batch import digest_batch

ROW = {
    "query_id": "query",
    "batch_id": 3,
    "seq": 7,
    "offsets": {"users.raw": {"10": [1, 2], "2": [3, 4]}},
    "read": 2,
    "accepted": 1,
    "rejected": 1,
    "inserted": 1,
    "updated": 0,
}


@pytest.mark.parametrize("name", ROW)
def test_every_column_changes_the_digest(name: str) -> None:
    assert digest_batch(ROW | {name: {} if name == "offsets" else 99}) != digest_batch(ROW)


def test_the_order_of_the_offsets_does_not_matter() -> None:
    assert digest_batch(ROW | {"offsets": {"users.raw": {"2": [3, 4], "10": [1, 2]}}}) == digest_batch(ROW)
