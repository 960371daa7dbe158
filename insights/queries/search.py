"""Users by filters, page by page, the latest registered first; at one instant by bucket, then as Cassandra sorts ids.

A cursor is a place in that order, so that pages neither repeat nor omit a user, whatever arrives meanwhile. With a
country its partitions are read, else those of months; both in steps of months that hold at most `STEP_USERS` users, or
are one month, as the counts say. The gender and age of users are filtered by the server, within partitions that the
statement names in full: what that reads is bounded by the step.
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
from insights.model.schema import BUCKETS
from insights.queries.users import MOST_PARTITIONS, execute, read_counts, read_cross_counts, read_cross_counts_since

STEP_USERS = 40_000
MOST_READS = 12
"""Of one page, of at most three statements each: beyond, the page ends short and says how far back it looked."""
MOST_ROWS = 4_800
"""Of one statement: below the driver's fetch size, so that an answer is one response."""

_MILLISECOND = timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True)
class UserFilter:
    """What users have in common; None is whatever. The months (`YYYY-MM`) are the first and last of registration."""

    country_code: str | None = None
    gender: str | None = None
    age_band: str | None = None
    since: str | None = None
    until: str | None = None


class UserSummary(NamedTuple):
    """What both tables know of a user."""

    registered_at: datetime
    user_id: UUID
    full_name: str
    gender: str
    age: int
    country_code: str
    email_domain: str


class KeysetCursor(NamedTuple):
    """Behind this user; without an id, behind all who registered then or later."""

    registered_at: datetime
    user_id: UUID | None


class UserPage(NamedTuple):
    """Some users, and where the next ones are, if there are any."""

    users: tuple[UserSummary, ...]
    next: KeysetCursor | None
    looked_back_to: datetime | None
    """Set where the page ended before it was full, for all it had read."""


def fetch_page(session: Session, chosen: UserFilter, cursor: KeysetCursor | None, limit: int) -> UserPage:
    """At most `limit` users behind `cursor`."""
    found: list[UserSummary] = []
    for reads, (users, place) in enumerate(_walk(session, chosen, cursor, max(10, limit // 4)), 1):
        found += users
        if len(found) > limit:
            return UserPage(tuple(found[:limit]), _behind(found[limit - 1]), None)
        if reads == MOST_READS and place is not None:
            return UserPage(tuple(found), place, place.registered_at)
    return UserPage(tuple(found), None, None)


def iterate_users(session: Session, chosen: UserFilter, seconds: float) -> Iterator[UserSummary]:
    """All of them.

    Raises:
        UserError: it took longer than `seconds`.
    """
    end = time.monotonic() + seconds
    for found, _ in _walk(session, chosen, None, MOST_ROWS // BUCKETS):
        if time.monotonic() > end:
            raise UserError(f"Reading the users took longer than {seconds:g} s; choose narrower filters.")
        yield from found


def count_users(session: Session, chosen: UserFilter) -> int | None:
    """How many there are, where an aggregate knows it."""
    whole_time = chosen.since is None and chosen.until is None
    whom = (chosen.country_code, chosen.gender, chosen.age_band)
    if whole_time and whom[1:] == (None, None):
        countries = read_counts(session, "country_code")
        return sum(count for code, count in countries.items() if whom[0] in (None, code))
    if whole_time and whom[0] is None:
        pairs = read_cross_counts(session, "gender_age_band", chosen.gender)
        return sum(count for (_, band), count in pairs.items() if chosen.age_band in (None, band))
    if whom == (None, None, None):
        months = read_counts(session, "registered_month")
        return sum(count for month, count in months.items() if _within(month, chosen))
    if whom[1:] == (None, None):
        since = read_cross_counts_since(session, "month_country", chosen.since or "")
        return sum(count for (month, code), count in since.items() if code == whom[0] and _within(str(month), chosen))
    return None


def _walk(
    session: Session, chosen: UserFilter, cursor: KeysetCursor | None, share: int
) -> Iterator[tuple[list[UserSummary], KeysetCursor | None]]:
    """The users behind `cursor`, read by read, each with the place behind what was read; None behind the last.

    `share`: rows asked of each partition. Months are read together that hold about half as many matching users as
    that makes, by what matched in those before; a country's users are taken to register as all users do.
    """
    known = read_counts(session, "registered_month")
    months = sorted((month for month in known if _within(month, chosen)), reverse=True)
    if cursor:
        newest = cursor.registered_at - (_MILLISECOND if cursor.user_id is None else timedelta(0))
        months = [month for month in months if month <= _month(newest)]
    if not months:
        return
    place = cursor or KeysetCursor(_end(months[0]), None)
    most_months, part = MOST_PARTITIONS // BUCKETS, 1.0
    if chosen.country_code is not None:
        countries = read_counts(session, "country_code")
        most_months, part = len(months), countries.get(chosen.country_code, 0) / max(1, sum(countries.values()))
    held = {month: known[month] * part for month in months}
    wanted = share * BUCKETS / 2
    size = min(STEP_USERS, wanted)
    while months:
        step = _step(months, held, size)[:most_months]
        months = months[len(step) :]
        matching, whole = 0, False
        while not whole:
            found, whole = _read(session, chosen, step, place, share)
            matching += len(found)
            place = KeysetCursor(_begin(step[-1]), None) if whole else _behind(found[-1])
            yield found, None if whole and not months else place
        size = min(STEP_USERS, wanted * sum(held[month] for month in step) / max(1, matching))


def _step(months: Sequence[str], held: Mapping[str, float], size: float) -> Sequence[str]:
    """The first of the months, and those after it that hold at most `size` users with it."""
    sums = list(accumulate(held[month] for month in months))
    return months[: max(1, bisect_right(sums, size))]


def _read(
    session: Session, chosen: UserFilter, months: Sequence[str], place: KeysetCursor, share: int
) -> tuple[list[UserSummary], bool]:
    """Users of those months behind `place` in order, and whether these are all; at least one if not."""
    share = min(share, MOST_ROWS // (BUCKETS * (len(months) if chosen.country_code is None else 1)))
    parts = _parts(session, chosen, months, place, share)
    # A partition that gave its whole share may hold more: certain is only what comes before its last row.
    certain = max((_position(part[-1]) for part in parts if len(part) == share), default=None)
    found = [user for part in parts for user in part if certain is None or _position(user) >= certain]
    # The sort is stable: users of one position stay as Cassandra sorts their ids.
    return sorted(found, key=_position, reverse=True), certain is None


def _parts(
    session: Session, chosen: UserFilter, months: Sequence[str], place: KeysetCursor, share: int
) -> list[list[UserSummary]]:
    """The first rows behind `place` of each partition that holds users of those months, at most `share` of each."""
    country = chosen.country_code
    table, key = (
        ("users_by_registration_month", "registered_month") if country is None else ("users_by_country", "country_code")
    )
    keys = list(months) if country is None else [country]
    where, values = _conditions(chosen)
    select = f"SELECT {', '.join(UserSummary._fields)} FROM {session.keyspace}.{table} WHERE {key}"
    filtering = " ALLOW FILTERING" if values else ""

    def ranged(buckets: range, before: datetime) -> list[list[UserSummary]]:
        if not buckets:
            return []
        rows = execute(
            session,
            f"{select} IN ? AND bucket IN ? AND registered_at >= ? AND registered_at < ?{where}"
            f" PER PARTITION LIMIT ?{filtering}",
            keys,
            list(buckets),
            _begin(months[-1]),
            before,
            *values,
            share,
        )
        by_partition: dict[tuple[str, int], list[UserSummary]] = {}
        for user in map(_found, rows):
            partition = (_month(user.registered_at) if country is None else country, _bucket(user.user_id))
            by_partition.setdefault(partition, []).append(user)
        return list(by_partition.values())

    at, user_id = place
    if user_id is None:
        return ranged(range(BUCKETS), at)
    bucket = _bucket(user_id)
    same_instant = execute(
        session,
        f"{select} = ? AND bucket = ? AND registered_at = ? AND user_id > ?{where} LIMIT ?{filtering}",
        _month(at) if country is None else country,
        bucket,
        at,
        user_id,
        *values,
        share,
    )
    ahead = [[_found(row) for row in same_instant]]
    return [
        *filter(None, ahead),
        *ranged(range(bucket + 1), at),
        *ranged(range(bucket + 1, BUCKETS), at + _MILLISECOND),
    ]


def _conditions(chosen: UserFilter) -> tuple[str, list[object]]:
    """What the server filters by, as CQL and its values."""
    where, values = "", list[object]()
    if chosen.gender is not None:
        where, values = " AND gender = ?", [chosen.gender]
    if chosen.age_band is not None:
        where, values = f"{where} AND age >= ? AND age <= ?", [*values, *get_age_range(chosen.age_band)]
    return where, values


def _found(row: Any) -> UserSummary:
    return UserSummary(row.registered_at.replace(tzinfo=UTC), *row[1:])


def _behind(user: UserSummary) -> KeysetCursor:
    return KeysetCursor(user.registered_at, user.user_id)


def _position(user: UserSummary) -> tuple[datetime, int]:
    """Greater is earlier in the order."""
    return user.registered_at, -_bucket(user.user_id)


def _bucket(user_id: UUID) -> int:
    return user_id.int >> 124


def _within(month: str, chosen: UserFilter) -> bool:
    return (chosen.since is None or chosen.since <= month) and (chosen.until is None or month <= chosen.until)


def _month(instant: datetime) -> str:
    return f"{instant:%Y-%m}"


def _begin(month: str) -> datetime:
    return datetime.strptime(month, "%Y-%m").replace(tzinfo=UTC)


def _end(month: str) -> datetime:
    """The begin of the next one."""
    return (_begin(month) + timedelta(days=31)).replace(day=1)
