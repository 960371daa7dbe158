"""The latencies of delivered users, from the percentiles of the times at which they were fetched."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from insights.sinks.latencies import BOUNDS, MarkedBatch, count_per_percentile, summarize_latencies

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


class FakeCursor:
    """Knows the page of every time after `known_since` seconds before noon."""

    def __init__(self, known_since: float) -> None:
        self._known_since = NOON - timedelta(seconds=known_since)
        self._rows: list[tuple[int, str]] = []

    def execute(self, _: str, parameters: tuple[list[int], list[int], list[datetime]]) -> None:
        self._rows = [
            (bucket, f"page of {(NOON - event_time).total_seconds():g} s in batch {seq}")
            for bucket, seq, event_time in zip(*parameters, strict=True)
            if event_time > self._known_since
        ]

    def fetchall(self) -> list[tuple[int, str]]:
        return self._rows


def mark(seconds: list[float], seq: int = 1) -> MarkedBatch:
    """A batch, delivered at noon, of users that were fetched so many seconds before; with PostgreSQL's percentiles."""
    event_times = [NOON - timedelta(seconds=ago) for ago in sorted(seconds, reverse=True)]
    ranks = [max(1, -(-percent * len(seconds) // 100)) for percent in range(101)]
    return MarkedBatch(seq, len(seconds), NOON, [event_times[rank - 1] for rank in ranks] if seconds else None)


def summarize(*batches: MarkedBatch, known_since: float = 1e9) -> dict[float, Any]:
    """By the bound of a bucket: its users, the sum of their seconds, the maximum, and a page."""
    bounds = (*BOUNDS, float("inf"))
    cursor: Any = FakeCursor(known_since)
    found = summarize_latencies(cursor, batches)
    return {bounds[one.bucket]: (one.users, one.total_seconds, one.slowest_seconds, one.page) for one in found}


@pytest.mark.parametrize("users", [1, 2, 3, 7, 50, 99, 100])
def test_every_user_of_a_small_batch_counts_by_its_own_time(users: int) -> None:
    ranks = [max(1, -(-percent * users // 100)) for percent in range(101)]
    counted = [rank for rank, count in zip(ranks, count_per_percentile(users), strict=True) for _ in range(count)]
    assert counted == list(range(1, users + 1))


@pytest.mark.parametrize("users", [101, 199, 12_345, 100_000])
def test_a_user_of_a_large_batch_counts_by_one_at_most_a_hundredth_of_the_ranks_away(users: int) -> None:
    ranks = [max(1, -(-percent * users // 100)) for percent in range(101)]
    counted = [rank for rank, count in zip(ranks, count_per_percentile(users), strict=True) for _ in range(count)]
    assert len(counted) == users
    assert all(abs(rank - by) <= users / 100 for rank, by in enumerate(counted, 1))
    assert (counted.count(1), counted[-1]) == (1, users)


def test_users_are_counted_by_bucket_with_the_page_of_a_slowest_one() -> None:
    assert summarize(mark([0.2, 0.4, 0.5, 2.0, 9000.0])) == {
        0.5: (3, pytest.approx(1.1), 0.5, "page of 0.5 s in batch 1"),
        2.0: (1, 2.0, 2.0, "page of 2 s in batch 1"),
        float("inf"): (1, 9000.0, 9000.0, "page of 9000 s in batch 1"),
    }


def test_one_late_user_of_many_is_one_user() -> None:
    assert summarize(mark([0.4] * 9_999 + [5000.0])) == {
        0.5: (9_999, pytest.approx(0.4 * 9_999), 0.4, "page of 0.4 s in batch 1"),
        float("inf"): (1, 5000.0, 5000.0, "page of 5000 s in batch 1"),
    }


def test_batches_marked_together_are_added_up() -> None:
    assert summarize(mark([0.3, 0.4]), mark([0.45], 2)) == {
        0.5: (3, pytest.approx(1.15), 0.45, "page of 0.45 s in batch 2")
    }


def test_a_fetch_after_the_delivery_counts_as_no_time() -> None:
    assert summarize(mark([-3.0])) == {0.5: (1, 0.0, 0.0, "page of -3 s in batch 1")}


def test_a_page_that_is_not_known_costs_the_users_nothing_but_their_example() -> None:
    assert summarize(mark([0.4, 20.0]), known_since=1) == {
        0.5: (1, 0.4, 0.4, "page of 0.4 s in batch 1"),
        30.0: (1, 20.0, 20.0, None),
    }


def test_a_batch_without_new_users_has_no_latency() -> None:
    assert summarize(mark([])) == {}
