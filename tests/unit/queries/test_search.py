"""Keyset pagination: every user once, in order, with a bounded number of statements."""

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from insights.errors import UserError
from insights.model.age_bands import get_age_range
from insights.queries import search
from insights.queries.search import KeysetCursor, UserFilter, UserPage, UserSummary

NEWEST = datetime(2021, 3, 31, 23, 59, 59, 999000, tzinfo=UTC)


class Session:
    """Answers the statements of `search` from a list of users, as Cassandra would; counts statements and rows."""

    keyspace = "insights"

    def __init__(self, users: list[UserSummary]) -> None:
        self.users = sorted(users, key=lambda user: (-user.registered_at.timestamp(), user.user_id))
        self.statements: Counter[str] = Counter()
        self.rows = 0

    def prepare(self, cql: str) -> str:
        return cql

    def execute(self, cql: str, values: tuple[Any, ...]) -> Any:
        self.statements["user_counts" if "user_counts" in cql else "users"] += 1
        if "user_counts" in cql:
            return self._counts(values[0])
        assert ("ALLOW FILTERING" in cql) == ("gender = ?" in cql or "age >= ?" in cql)
        return self._same_instant(cql, values) if "user_id > ?" in cql else self._range(cql, values)

    def _counts(self, dimension: str) -> list[Any]:
        values = Counter(_key(user, dimension) for user in self.users)
        return [SimpleNamespace(value=value, count=count) for value, count in values.items()]

    def _range(self, cql: str, values: tuple[Any, ...]) -> Iterator[Any]:
        keys, buckets, start, before, *rest, limit = values
        assert len(keys) * len(buckets) * limit <= search.MAX_ROWS
        returned: Counter[tuple[str, int]] = Counter()
        for key in keys:
            for user in self._filtered(cql, rest):
                partition = (_key(user, cql.split("WHERE ")[1].split()[0]), user.user_id.int >> 124)
                if partition[0] == key and partition[1] in buckets and start <= user.registered_at < before:
                    returned[partition] += 1
                    if returned[partition] <= limit:
                        self.rows += 1
                        yield _row(user)

    def _same_instant(self, cql: str, values: tuple[Any, ...]) -> list[Any]:
        key, bucket, instant, last_id, *rest, limit = values
        return [
            _row(user)
            for user in self._filtered(cql, rest)
            if (_key(user, cql.split("WHERE ")[1].split()[0]), user.user_id.int >> 124) == (key, bucket)
            and user.registered_at == instant
            and user.user_id > last_id
        ][:limit]

    def _filtered(self, cql: str, values: list[Any]) -> Iterator[UserSummary]:
        remaining = list(values)
        gender = remaining.pop(0) if "gender = ?" in cql else None
        first, last = remaining if "age >= ?" in cql else (0, 999)
        for user in self.users:
            if gender in (None, user.gender) and first <= user.age <= last:
                yield user


def _row(user: UserSummary) -> Any:
    return user._replace(registered_at=user.registered_at.replace(tzinfo=None))


def _key(user: UserSummary, field: str) -> str:
    return f"{user.registered_at:%Y-%m}" if field == "registered_month" else str(getattr(user, field))


def match_ids(users: list[UserSummary], filters: UserFilter) -> set[UUID]:
    return {
        user.user_id
        for user in users
        if filters.country_code in (None, user.country_code)
        and filters.gender in (None, user.gender)
        and (
            filters.age_band is None
            or get_age_range(filters.age_band)[0] <= user.age <= get_age_range(filters.age_band)[1]
        )
        and (filters.since or "") <= _key(user, "registered_month") <= (filters.until or "9")
    }


def fetch_all_pages(session: Session, filters: UserFilter, limit: int) -> list[UserPage]:
    pages = [search.fetch_page(session, filters, None, limit)]
    while pages[-1].next:
        pages.append(search.fetch_page(session, filters, pages[-1].next, limit))
    return pages


INSTANTS = st.one_of(
    st.sampled_from([NEWEST, NEWEST.replace(day=1, hour=0, minute=0, second=0, microsecond=0)]),
    st.integers(0, 400 * 86_400).map(lambda seconds: NEWEST - timedelta(seconds=seconds)),
)
USERS = st.lists(
    st.builds(
        UserSummary,
        INSTANTS,
        st.uuids(version=4),
        st.just("Ann"),
        st.sampled_from(["female", "male"]),
        st.integers(0, 99),
        st.sampled_from(["DE", "FR"]),
        st.just("example.com"),
    ),
    max_size=80,
    unique_by=lambda user: user.user_id,
)
FILTERS = st.builds(
    UserFilter,
    st.sampled_from([None, "DE"]),
    st.sampled_from([None, "male"]),
    st.sampled_from([None, "25-34", "75+"]),
    st.sampled_from([None, "2020-12"]),
    st.sampled_from([None, "2021-02"]),
)


@settings(deadline=None)
@given(USERS, FILTERS, st.integers(1, 30), st.sampled_from([3, 40_000]))
def test_all_pages_together_hold_every_matching_user_once_in_order(users, filters, limit, step_users):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(search, "STEP_USERS", step_users)
        pages = fetch_all_pages(Session(users), filters, limit)
    paged = [user for page in pages for user in page.users]
    assert len(paged) == len({user.user_id for user in paged})
    assert {user.user_id for user in paged} == match_ids(users, filters)
    assert all(newer.registered_at >= older.registered_at for newer, older in pairwise(paged))
    assert all(len(page.users) == limit or page.looked_back_to for page in pages[:-1])
    assert pages[-1].next is None


@settings(deadline=None)
@given(USERS, FILTERS)
def test_iterating_yields_the_same_users_in_the_same_order(users, filters):
    session = Session(users)
    paged = [user for page in fetch_all_pages(session, filters, 7) for user in page.users]
    assert list(search.iterate_users(session, filters, 60)) == paged


def make_users(count: int, days: int) -> list[UserSummary]:
    return [
        UserSummary(
            (NEWEST - timedelta(days=number * days / count)).replace(microsecond=0),
            UUID(int=(number % 16) << 124 | number),
            "Ann",
            "female",
            30,
            "DE",
            "example.com",
        )
        for number in range(count)
    ]


@pytest.mark.parametrize(
    "filters", [UserFilter(), UserFilter("DE"), UserFilter(gender="male"), UserFilter("DE", "male", "75+")]
)
def test_a_page_sends_a_bounded_number_of_statements_however_few_users_match(filters, monkeypatch):
    monkeypatch.setattr(search, "STEP_USERS", 20)
    session = Session(make_users(2_000, 9_000))
    for cursor in (None, KeysetCursor(NEWEST - timedelta(days=3), UUID(int=5 << 124))):
        session.statements.clear()
        search.fetch_page(session, filters, cursor, 50)
        assert session.statements["users"] <= 3 * search.MAX_READS
        assert session.statements["user_counts"] <= 2


@pytest.mark.parametrize("filters", [UserFilter(), UserFilter("DE"), UserFilter(gender="female")])
def test_a_page_reads_few_more_users_than_it_returns(filters):
    session = Session(make_users(20_000, 7_000))
    assert len(search.fetch_page(session, filters, None, 50).users) == 50
    assert session.rows <= 200


def test_the_more_rarely_users_match_the_more_months_are_read_together():
    users = [
        user._replace(gender="male") if number % 50 else user for number, user in enumerate(make_users(20_000, 7_000))
    ]
    session = Session(users)
    assert len(search.fetch_page(session, UserFilter(gender="female"), None, 50).users) == 50
    assert session.statements["users"] <= 5


def test_a_page_that_used_up_its_reads_ends_short_and_the_next_ones_go_on(monkeypatch):
    monkeypatch.setattr(search, "STEP_USERS", 20)
    *others, oldest = make_users(2_000, 9_000)
    users = [*others, oldest._replace(gender="male")]
    pages = fetch_all_pages(Session(users), UserFilter(gender="male"), 50)
    assert [len(page.users) for page in pages if page.users] == [1]
    assert len(pages) > 2
    instants = [page.looked_back_to for page in pages[:-1] if page.looked_back_to]
    assert len(instants) == len(pages) - 1
    assert all(later > earlier for later, earlier in pairwise(instants))


def test_more_users_of_one_instant_than_a_page_holds_take_several_pages():
    users = [user._replace(registered_at=NEWEST) for user in make_users(500, 1)]
    pages = fetch_all_pages(Session(users), UserFilter("DE"), 40)
    assert [len(page.users) for page in pages] == [40] * 12 + [20]
    assert {user.user_id for page in pages for user in page.users} == {user.user_id for user in users}


def test_a_user_who_arrives_between_two_pages_shifts_no_other():
    users = make_users(120, 30)
    first = search.fetch_page(Session(users), UserFilter(), None, 50)
    newer = users[0]._replace(registered_at=NEWEST, user_id=UUID(int=3 << 124 | 12345))
    following = search.fetch_page(Session([newer, *users]), UserFilter(), first.next, 50)
    assert [user.user_id for user in first.users + following.users] == [user.user_id for user in users[:100]]


def test_without_users_the_page_is_empty_and_so_it_is_after_an_early_cursor():
    assert search.fetch_page(Session([]), UserFilter(), None, 50) == UserPage((), None, None)
    old = KeysetCursor(datetime(1900, 1, 1, tzinfo=UTC), None)
    assert search.fetch_page(Session(make_users(20, 30)), UserFilter(), old, 50) == UserPage((), None, None)


def test_iterating_past_the_timeout_is_an_error():
    with pytest.raises(UserError, match="choose narrower filters"):
        list(search.iterate_users(Session(make_users(20, 30)), UserFilter(), -1))
