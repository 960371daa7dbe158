"""Search for users by filters with keyset pagination, over Cassandra's user tables.

Users are sorted by registration instant, newest first; users of one instant by bucket, then in Cassandra's order of
ids. A cursor is a position in that order, so that pages neither repeat nor omit a user, whoever arrives between them.

With a country, the search reads that country's partitions of `user_summaries_by_country`, otherwise the partitions of
`user_summaries_by_month`. It proceeds in steps of consecutive months which, by the stored counts, hold at most
`STEP_USERS` users, or of one month. The server filters by gender and age within partitions that the statement names in
full, so that the size of a step bounds what a statement scans.
"""

import time
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from typing import Any, NamedTuple
from uuid import UUID

from cassandra.cluster import Session

from insights.errors import UserError
from insights.model.age_bands import get_age_range
from insights.model.schema import BUCKETS, CASSANDRA_TYPES
from insights.queries.users import MAX_PARTITIONS, execute, read_counts, read_cross_counts, read_cross_counts_since

STEP_USERS = 40_000
"""Upper bound of the users that the months of one step hold, unless the step is a single month."""
MAX_READS = 12
"""Reads per page, of at most three statements each. A page that needs more ends early and reports how far it read."""
MAX_ROWS = 4_800
"""Rows per statement: below the driver's fetch size, so that a result is one response."""

_MILLISECOND = timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True)
class UserFilter:
    """Conditions that users must meet; None accepts any value.

    `since` and `until` are the first and the last month of registration (`YYYY-MM`), both inclusive.
    """

    country_code: str | None = None
    gender: str | None = None
    age_band: str | None = None
    since: str | None = None
    until: str | None = None

    def covers_month(self, month: str) -> bool:
        """Whether users who registered in `month` meet the conditions on the month."""
        return (self.since is None or self.since <= month) and (self.until is None or month <= self.until)


class UserSummary(NamedTuple):
    """The columns of a user that both tables have."""

    registered_at: datetime
    user_id: UUID
    full_name: str
    gender: str
    age: int
    country_code: str
    email_domain: str


class KeysetCursor(NamedTuple):
    """Exclusive lower bound (keyset pagination): the users of a page sort after this position.

    Without `user_id` they sort after every user who registered at `registered_at` or later.
    """

    registered_at: datetime
    user_id: UUID | None


class UserPage(NamedTuple):
    """A page of users, and the cursor of the next page; None on the last."""

    users: tuple[UserSummary, ...]
    next: KeysetCursor | None
    looked_back_to: datetime | None
    """The instant back to which users were read, if the page ended early after `MAX_READS` reads."""


def fetch_page(session: Session, filters: UserFilter, cursor: KeysetCursor | None, limit: int) -> UserPage:
    """Fetch the first `limit` matching users after `cursor`, or the first of all without a cursor."""
    users: list[UserSummary] = []
    rows_per_partition = max(10, limit // 4)
    for reads, (matching, position) in enumerate(_scan(session, filters, cursor, rows_per_partition), 1):
        users += matching
        if len(users) > limit:
            return UserPage(tuple(users[:limit]), _cursor_at(users[limit - 1]), None)
        if reads == MAX_READS and position is not None:
            return UserPage(tuple(users), position, position.registered_at)
    return UserPage(tuple(users), None, None)


def iterate_users(session: Session, filters: UserFilter, timeout_seconds: float) -> Iterator[UserSummary]:
    """Yield every matching user, in the order of the pages.

    Raises:
        UserError: reading took longer than `timeout_seconds`.
    """
    deadline = time.monotonic() + timeout_seconds
    for users, _ in _scan(session, filters, None, MAX_ROWS // BUCKETS):
        if time.monotonic() > deadline:
            raise UserError(f"Reading the users took longer than {timeout_seconds:g} s; choose narrower filters.")
        yield from users


def count_users(session: Session, filters: UserFilter) -> int | None:
    """Count the matching users from the stored counts; None if no dimension combines these filters."""
    any_country = filters.country_code is None
    any_month = filters.since is None and filters.until is None
    if filters.gender is None and filters.age_band is None:
        return _count_by_country(session, filters) if any_month else _count_by_month(session, filters)
    return _count_by_gender_and_age_band(session, filters) if any_country and any_month else None


def _count_by_country(session: Session, filters: UserFilter) -> int:
    counts = read_counts(session, "country_code")
    return sum(counts.values()) if filters.country_code is None else counts.get(filters.country_code, 0)


def _count_by_month(session: Session, filters: UserFilter) -> int:
    if filters.country_code is None:
        counts = read_counts(session, "registered_month")
        return sum(count for month, count in counts.items() if filters.covers_month(month))
    pairs = read_cross_counts_since(session, "month_country", filters.since or "")
    return sum(
        count
        for (month, country), count in pairs.items()
        if country == filters.country_code and filters.covers_month(str(month))
    )


def _count_by_gender_and_age_band(session: Session, filters: UserFilter) -> int:
    pairs = read_cross_counts(session, "gender_age_band", filters.gender)
    return sum(count for (_, age_band), count in pairs.items() if filters.age_band in (None, age_band))


class _ScanRead(NamedTuple):
    """The users of one read, and the position after it; None once there is nothing left to read."""

    users: list[UserSummary]
    position: KeysetCursor | None


def _scan(
    session: Session, filters: UserFilter, cursor: KeysetCursor | None, rows_per_partition: int
) -> Iterator[_ScanRead]:
    """Read the matching users after `cursor`, one step of months after another, in as many reads as a step takes."""
    users_by_month = _count_unread_months(session, filters, cursor)
    if not users_by_month:
        return
    position = cursor or KeysetCursor(_end_of(next(iter(users_by_month))), None)
    planner = _plan_steps(session, filters, users_by_month, rows_per_partition)
    while months := planner.take_step():
        reader = _StepReader(session, filters, months, rows_per_partition)
        matching, exhausted = 0, False
        while not exhausted:
            users, exhausted = reader.read_after(position)
            matching += len(users)
            position = KeysetCursor(_start_of(months[-1]), None) if exhausted else _cursor_at(users[-1])
            yield _ScanRead(users, None if exhausted and planner.finished else position)
        planner.adapt(months, matching)


def _count_unread_months(session: Session, filters: UserFilter, cursor: KeysetCursor | None) -> dict[str, int]:
    """Users by month, newest first, of the months that the filters cover and the cursor has not passed."""
    counts = read_counts(session, "registered_month")
    months = sorted(filter(filters.covers_month, counts), reverse=True)
    if cursor:
        newest = cursor.registered_at - (_MILLISECOND if cursor.user_id is None else timedelta(0))
        months = [month for month in months if month <= _month_of(newest)]
    return {month: counts[month] for month in months}


class _StepPlanner:
    """Splits the months, newest first, into steps that are expected to hold about `target` matching users.

    The share of users that match is taken from the step before, and is 1 in the first.
    """

    def __init__(self, users_by_month: Mapping[str, float], max_months: int, target: float) -> None:
        self._users_by_month, self._max_months, self._target = users_by_month, max_months, target
        self._remaining = list(users_by_month)
        self._max_users = min(STEP_USERS, target)

    @property
    def finished(self) -> bool:
        return not self._remaining

    def take_step(self) -> Sequence[str]:
        """The months of the next step, at least one; none at the end."""
        totals = list(accumulate(self._users_by_month[month] for month in self._remaining))
        count = min(self._max_months, max(1, bisect_right(totals, self._max_users)))
        step, self._remaining = self._remaining[:count], self._remaining[count:]
        return step

    def adapt(self, months: Sequence[str], matching: int) -> None:
        """Size the next step by how many users of the last one's `months` matched."""
        users = sum(self._users_by_month[month] for month in months)
        self._max_users = min(STEP_USERS, self._target * users / max(1, matching))


def _plan_steps(
    session: Session, filters: UserFilter, users_by_month: Mapping[str, int], rows_per_partition: int
) -> _StepPlanner:
    """Plan steps that fill about half of the rows that one read may return.

    The users of a country are assumed to be spread over the months like all users.
    """
    target = rows_per_partition * BUCKETS / 2
    if filters.country_code is None:
        return _StepPlanner(users_by_month, MAX_PARTITIONS // BUCKETS, target)
    countries = read_counts(session, "country_code")
    share = countries.get(filters.country_code, 0) / max(1, sum(countries.values()))
    users_of_country = {month: count * share for month, count in users_by_month.items()}
    return _StepPlanner(users_of_country, len(users_by_month), target)


class _StepReader:
    """Reads the matching users of consecutive `months`, given newest first, from the partitions that hold them."""

    def __init__(self, session: Session, filters: UserFilter, months: Sequence[str], rows_per_partition: int) -> None:
        self._session = session
        self._country = filters.country_code
        if self._country is None:
            table, key, self._keys = "user_summaries_by_month", "registered_month", list(months)
        else:
            table, key, self._keys = "user_summaries_by_country", "country_code", [self._country]
        fields = [
            f"summary.{name}" if name in CASSANDRA_TYPES["user_summary"] else name for name in UserSummary._fields
        ]
        self._select = f"SELECT {', '.join(fields)} FROM {session.keyspace}.{table} WHERE {key}"
        self._conditions, self._values = _build_conditions(filters)
        self._filtering = " ALLOW FILTERING" if self._values else ""
        self._start = _start_of(months[-1])
        self._limit = min(rows_per_partition, MAX_ROWS // (BUCKETS * len(self._keys)))

    def read_after(self, position: KeysetCursor) -> tuple[list[UserSummary], bool]:
        """Users after `position` in order, and whether these are all of the step's; at least one if they are not."""
        partitions = self._read_partitions(position)
        # A partition that returned its limit may hold more: only what sorts before its last row is complete.
        complete = max((_sort_key(rows[-1]) for rows in partitions if len(rows) == self._limit), default=None)
        users = [user for rows in partitions for user in rows if complete is None or _sort_key(user) >= complete]
        # The sort is stable: users with equal keys stay in Cassandra's order of ids.
        return sorted(users, key=_sort_key, reverse=True), complete is None

    def _read_partitions(self, position: KeysetCursor) -> list[list[UserSummary]]:
        """The first rows after `position` of each partition, at most `_limit` each; partitions without rows left out.

        Users of one instant are sorted by bucket. After a user, the buckets up to the user's own therefore continue
        before that instant, and the later buckets at it.
        """
        instant, user_id = position
        if user_id is None:
            return self._read_range(range(BUCKETS), instant)
        bucket = _bucket_of(user_id)
        return [
            *filter(None, [self._read_same_instant(instant, user_id)]),
            *self._read_range(range(bucket + 1), instant),
            *self._read_range(range(bucket + 1, BUCKETS), instant + _MILLISECOND),
        ]

    def _read_same_instant(self, instant: datetime, user_id: UUID) -> list[UserSummary]:
        """Users who registered at `instant` and follow `user_id` in its partition."""
        rows = execute(
            self._session,
            f"{self._select} = ? AND bucket = ? AND registered_at = ? AND user_id > ?{self._conditions}"
            f" LIMIT ?{self._filtering}",
            _month_of(instant) if self._country is None else self._country,
            _bucket_of(user_id),
            instant,
            user_id,
            *self._values,
            self._limit,
        )
        return [_to_summary(row) for row in rows]

    def _read_range(self, buckets: range, before: datetime) -> list[list[UserSummary]]:
        """Users of these buckets who registered within the step and before `before`, by partition."""
        if not buckets:
            return []
        rows = execute(
            self._session,
            f"{self._select} IN ? AND bucket IN ? AND registered_at >= ? AND registered_at < ?{self._conditions}"
            f" PER PARTITION LIMIT ?{self._filtering}",
            self._keys,
            list(buckets),
            self._start,
            before,
            *self._values,
            self._limit,
        )
        partitions: dict[tuple[str, int], list[UserSummary]] = {}
        for user in map(_to_summary, rows):
            key = _month_of(user.registered_at) if self._country is None else self._country
            partitions.setdefault((key, _bucket_of(user.user_id)), []).append(user)
        return list(partitions.values())


def _build_conditions(filters: UserFilter) -> tuple[str, list[object]]:
    """The conditions that the server filters by, as CQL and its values."""
    conditions, values = "", list[object]()
    if filters.gender is not None:
        conditions, values = " AND gender = ?", [filters.gender]
    if filters.age_band is not None:
        conditions, values = f"{conditions} AND age >= ? AND age <= ?", [*values, *get_age_range(filters.age_band)]
    return conditions, values


def _to_summary(row: Any) -> UserSummary:
    return UserSummary(row.registered_at.replace(tzinfo=UTC), *row[1:])


def _cursor_at(user: UserSummary) -> KeysetCursor:
    return KeysetCursor(user.registered_at, user.user_id)


def _sort_key(user: UserSummary) -> tuple[datetime, int]:
    """Greater for users who come first."""
    return user.registered_at, -_bucket_of(user.user_id)


def _bucket_of(user_id: UUID) -> int:
    return user_id.int >> 124


def _month_of(instant: datetime) -> str:
    return f"{instant:%Y-%m}"


def _start_of(month: str) -> datetime:
    return datetime.strptime(month, "%Y-%m").replace(tzinfo=UTC)


def _end_of(month: str) -> datetime:
    """The start of the following month."""
    return (_start_of(month) + timedelta(days=31)).replace(day=1)
