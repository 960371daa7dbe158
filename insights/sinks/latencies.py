"""The time from the fetch of new users until every sink had them, counted in the buckets of a histogram.

Nothing is computed per user: a batch keeps 101 percentiles of the times at which its new users were fetched.
"""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import NamedTuple

from psycopg2.extensions import cursor as PgCursor

BOUNDS = (0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 7.5, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0)
"""The upper bounds of the buckets in seconds, inclusive. A last bucket has what took longer."""
SEARCHED_ROWS = 10_000
"""Users of a batch among whom one of a given time is looked for. In the order of their ids, which the index has, pages
are mixed."""
# A batch of an earlier checkpoint has no rows left once its users were written again.
_SELECT_PAGES = f"""
    SELECT slowest.bucket, page.batch_id
    FROM unnest(%s::integer[], %s::bigint[], %s::timestamptz[]) AS slowest(bucket, seq, event_time)
    CROSS JOIN LATERAL (
        SELECT batch_id
        FROM (
            SELECT batch_id, event_time FROM analytics.users
            WHERE seq = slowest.seq ORDER BY user_id LIMIT {SEARCHED_ROWS}
        ) AS searched
        WHERE event_time = slowest.event_time AND batch_id <> '' LIMIT 1
    ) AS page
"""


class MarkedBatch(NamedTuple):
    """A batch that has just been marked as delivered. `event_times` is None if it has no new users."""

    seq: int
    inserted: int
    served_at: datetime
    event_times: Sequence[datetime] | None


@dataclass(frozen=True, slots=True)
class BucketOfUsers:
    """New users, delivered together, whose latencies are in one bucket: their number, the sum and the maximum.

    `bucket` is an index of `BOUNDS`, or its length for the last bucket; `page` is the page of one of the slowest users,
    if it is known.
    """

    bucket: int
    users: int
    total_seconds: float
    slowest_seconds: float
    page: str | None


def summarize_latencies(cursor: PgCursor, batches: Iterable[MarkedBatch]) -> list[BucketOfUsers]:
    """Count the new users of these batches by their latency, and look up a page for each bucket that has any.

    Raises:
        psycopg2.Error: PostgreSQL cannot be read.
    """
    users, totals = [0] * (len(BOUNDS) + 1), [0.0] * (len(BOUNDS) + 1)
    slowest: dict[int, tuple[float, int, datetime]] = {}
    for batch in batches:
        if batch.event_times is None:
            continue
        for event_time, count in zip(batch.event_times, count_per_percentile(batch.inserted), strict=True):
            if not count:
                continue
            # Clocks differ: a user is not delivered before the fetch.
            seconds = max(0.0, (batch.served_at - event_time).total_seconds())
            bucket = bisect_left(BOUNDS, seconds)
            users[bucket] += count
            totals[bucket] += count * seconds
            slowest[bucket] = max(slowest.get(bucket, (-1.0, 0, event_time)), (seconds, batch.seq, event_time))
    if not slowest:
        return []
    seqs, event_times = ([found[position] for found in slowest.values()] for position in (1, 2))
    cursor.execute(_SELECT_PAGES, (list(slowest), seqs, event_times))
    pages = dict(cursor.fetchall())
    return [
        BucketOfUsers(bucket, users[bucket], totals[bucket], slowest[bucket][0], pages.get(bucket))
        for bucket in sorted(slowest)
    ]


def count_per_percentile(users: int) -> list[int]:
    """How many of these users each of the percentiles 0 to 100 stands for.

    Up to 100 users count by their own times. Of more, the slowest does, and the others by that of a user whose rank
    differs by at most a hundredth of all ranks.
    """
    first_ranks = [max(1, -(-users * percent // 100)) for percent in range(101)]
    first_ranks[1] = min(2, first_ranks[1])
    return [following - first for first, following in pairwise((*first_ranks, users + 1))]
