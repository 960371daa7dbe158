"""Parts of the incremental check that need no store."""

from uuid import UUID

import pytest

from insights.ledger import count_digests
from insights.ledger.digest import BUCKETS, find_bucket
from insights.ledger.suspicion import SuspicionError, require
from insights.ledger.verified import Verified, Walk
from tests.helpers.idle_flow import FETCHED_AT


@pytest.mark.parametrize("bucket", [0, 1, 77_777, BUCKETS - 1])
def test_the_ids_of_a_bucket_are_those_between_its_first_and_its_last(bucket: int) -> None:
    first, last = UUID(count_digests.find_first_id(bucket)), UUID(count_digests.find_last_id(bucket))
    assert find_bucket(first.bytes) == find_bucket(last.bytes) == bucket
    neighbours = [UUID(int=number) for number in (first.int - 1, last.int + 1) if 0 <= number < 1 << 128]
    assert bucket not in {find_bucket(neighbour.bytes) for neighbour in neighbours}


def test_a_round_ends_when_every_walk_has_come_to_its_end() -> None:
    state = Verified(1, {}, FETCHED_AT, FETCHED_AT)
    state.walk("users").advance(7)
    state.walk("topic").advance(None)
    assert state.rounds == 0
    state.walk("users").advance(None)
    assert state.rounds == 1
    assert state.walks == {"users": Walk(None, 1), "topic": Walk(None, 1)}


def test_what_does_not_hold_is_suspicious() -> None:
    require(1, "one")
    with pytest.raises(SuspicionError, match="a page was changed"):
        require(0, "a page was changed")
