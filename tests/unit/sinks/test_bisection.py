"""Rows that a store refuses are found among those that it takes."""

import math
import random
from collections.abc import Collection

import pytest

from insights.sinks.bisection import find_refused


class Store:
    """A store that takes a part in whole or not at all, and refuses the rows `bad` and any pair in `conflicts`."""

    def __init__(self, bad: set[int], conflicts: Collection[frozenset[int]] = ()) -> None:
        self.taken: list[int] = []
        self.attempts = 0
        self._bad, self._conflicts = bad, conflicts

    def attempt(self, part: range) -> str | None:
        self.attempts += 1
        rows = {*self.taken, *part}
        if self._bad & set(part) or any(conflict <= rows for conflict in self._conflicts):
            return f"no room for {part.start} to {part.stop - 1}"
        self.taken += part
        return None


@pytest.mark.parametrize("seed", range(30))
def test_exactly_the_bad_rows_are_refused_in_few_attempts_and_all_others_taken_in_order(seed: int) -> None:
    random_ = random.Random(seed)
    count = random_.randrange(1, 300)
    bad = set(random_.sample(range(count), random_.randrange(min(count, 8) + 1)))
    store = Store(bad)
    refused = find_refused(range(count), store.attempt)
    assert refused == {row: f"no room for {row} to {row}" for row in bad}
    assert store.taken == [row for row in range(count) if row not in bad]
    assert store.attempts <= 2 * len(bad) * math.ceil(math.log2(count) + 1) + 1


def test_all_rows_may_be_bad() -> None:
    assert set(find_refused(range(50), Store(set(range(50))).attempt)) == set(range(50))


def test_of_rows_that_only_conflict_with_one_another_the_first_is_taken() -> None:
    store = Store(set(), {frozenset({3, 40}), frozenset({40, 41})})
    assert set(find_refused(range(64), store.attempt)) == {40}
    assert len(store.taken) == 63


def test_no_rows_are_one_attempt_at_most() -> None:
    store = Store(set())
    assert find_refused(range(0), store.attempt) == {}
    assert store.attempts <= 1


def test_an_outage_is_raised_and_not_bisected() -> None:
    attempts = []

    def attempt(part: range) -> str | None:
        attempts.append(part)
        raise ConnectionError("away")

    with pytest.raises(ConnectionError):
        find_refused(range(100), attempt)
    assert attempts == [range(100)]
