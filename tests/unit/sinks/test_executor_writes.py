"""How the users of a batch are divided into tasks."""

from itertools import pairwise
from uuid import UUID

import pytest

from insights.model.schema import BUCKETS
from insights.sinks.executor_writes import LEAST_ROWS, MOST_ROWS, count_tasks
from insights.sinks.user_ranges import ALL_USERS, split_users


@pytest.mark.parametrize(
    ("rows", "parallelism", "tasks"),
    [
        (0, 8, 1),
        (1, 8, 1),
        (LEAST_ROWS, 8, 1),
        (LEAST_ROWS + 1, 8, 2),
        (8 * LEAST_ROWS, 8, 8),
        (8 * MOST_ROWS, 8, 8),
        (8 * MOST_ROWS + 1, 8, 9),
        (3 * MOST_ROWS, 1, 3),
    ],
)
def test_a_batch_has_a_task_for_each_core_unless_the_tasks_would_be_too_small_or_too_large(
    rows: int, parallelism: int, tasks: int
) -> None:
    assert count_tasks(rows, parallelism) == tasks


@pytest.mark.parametrize("parts", [1, 2, 3, 7, 16, 100])
def test_the_ranges_hold_every_user_once(parts: int) -> None:
    ranges = split_users(parts)
    assert len(ranges) == parts
    assert (ranges[0].first, ranges[-1].last) == ALL_USERS == (str(UUID(int=0)), str(UUID(int=2**128 - 1)))
    for before, after in pairwise(ranges):
        assert UUID(after.first).int == UUID(before.last).int + 1
        assert before.first < before.last


def test_a_power_of_two_splits_no_bucket() -> None:
    for users in split_users(BUCKETS // 2):
        assert (users.first[1:], users.last[1:]) == (ALL_USERS.first[1:], ALL_USERS.last[1:])
