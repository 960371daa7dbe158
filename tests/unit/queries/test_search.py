"""Walking through users: every one once, in order, with a bounded number of statements."""

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
    """Answers the statements of `explore` from a list of users, as Cassandra would; counts both."""

    keyspace = "insights"

    def __init__(self, users: list[UserSummary]) -> None:
        self.users = sorted(users, key=lambda user: (-user.registered_at.timestamp(), user.user_id))
        self.asked: Counter[str] = Counter()
        self.given = 0

    def prepare(self, cql: str) -> str:
        return cql

    def execute(self, cql: str, values: tuple[Any, ...]) -> Any:
        self.asked["user_counts" if "user_counts" in cql else "users"] += 1
        if "user_counts" in cql:
            return self._counts(values[0])
        assert ("ALLOW FILTERING" in cql) == ("gender = ?" in cql or "age >= ?" in cql)
        return self._same_instant(cql, values) if "user_id > ?" in cql else self._range(cql, values)

    def _counts(self, dimension: str) -> list[Any]:
        values = Counter(_key(user, dimension) for user in self.users)
        return [SimpleNamespace(value=value, count=count) for value, count in values.items()]

    def _range(self, cql: str, values: tuple[Any, ...]) -> Iterator[Any]:
        keys, buckets, begin, before, *rest, share = values
        assert len(keys) * len(buckets) * share <= search.MOST_ROWS
        given: Counter[tuple[str, int]] = Counter()
        for key in keys:
            for user in self._filtered(cql, rest):
                partition = (_key(user, cql.split("WHERE ")[1].split()[0]), user.user_id.int >> 124)
                if partition[0] == key and partition[1] in buckets and begin <= user.registered_at < before:
                    given[partition] += 1
                    if given[partition] <= share:
                        self.given += 1
                        yield _row(user)

    def _same_instant(self, cql: str, values: tuple[Any, ...]) -> list[Any]:
        key, bucket, at, behind, *rest, limit = values
        return [
            _row(user)
            for user in self._filtered(cql, rest)
            if (_key(user, cql.split("WHERE ")[1].split()[0]), user.user_id.int >> 124) == (key, bucket)
            and user.registered_at == at
            and user.user_id > behind
        ][:limit]

    def _filtered(self, cql: str, values: list[Any]) -> Iterator[UserSummary]:
        left = list(values)
        gender = left.pop(0) if "gender = ?" in cql else None
        first, last = left if "age >= ?" in cql else (0, 999)
        for user in self.users:
            if gender in (None, user.gender) and first <= user.age <= last:
                yield user


def _row(user: UserSummary) -> Any:
    return user._replace(registered_at=user.registered_at.replace(tzinfo=None))


def _key(user: UserSummary, field: str) -> str:
    return f"{user.registered_at:%Y-%m}" if field == "registered_month" else str(getattr(user, field))


def oracle(users: list[UserSummary], chosen: UserFilter) -> set[UUID]:
    return {
        user.user_id
        for user in users
        if chosen.country_code in (None, user.country_code)
        and chosen.gender in (None, user.gender)
        and (
            chosen.age_band is None
            or get_age_range(chosen.age_band)[0] <= user.age <= get_age_range(chosen.age_band)[1]
        )
        and (chosen.since or "") <= _key(user, "registered_month") <= (chosen.until or "9")
    }


def walk(session: Session, chosen: UserFilter, limit: int) -> list[UserPage]:
    pages = [search.fetch_page(session, chosen, None, limit)]
    while pages[-1].next:
        pages.append(search.fetch_page(session, chosen, pages[-1].next, limit))
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
def test_all_pages_together_hold_every_matching_user_once_in_order(users, chosen, limit, step_users):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(search, "STEP_USERS", step_users)
        pages = walk(Session(users), chosen, limit)
    walked = [user for page in pages for user in page.users]
    assert len(walked) == len({user.user_id for user in walked})
    assert {user.user_id for user in walked} == oracle(users, chosen)
    assert all(newer.registered_at >= older.registered_at for newer, older in pairwise(walked))
    assert all(len(page.users) == limit or page.looked_back_to for page in pages[:-1])
    assert pages[-1].next is None


@settings(deadline=None)
@given(USERS, FILTERS)
def test_a_file_holds_the_same_users_in_the_same_order(users, chosen):
    session = Session(users)
    paged = [user for page in walk(session, chosen, 7) for user in page.users]
    assert list(search.iterate_users(session, chosen, 60)) == paged


def many(count: int, days: int) -> list[UserSummary]:
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
    "chosen", [UserFilter(), UserFilter("DE"), UserFilter(gender="male"), UserFilter("DE", "male", "75+")]
)
def test_a_page_asks_a_bounded_number_of_statements_however_little_matches(chosen, monkeypatch):
    monkeypatch.setattr(search, "STEP_USERS", 20)
    session = Session(many(2_000, 9_000))
    for cursor in (None, KeysetCursor(NEWEST - timedelta(days=3), UUID(int=5 << 124))):
        session.asked.clear()
        search.fetch_page(session, chosen, cursor, 50)
        assert session.asked["users"] <= 3 * search.MOST_READS
        assert session.asked["user_counts"] <= 2


@pytest.mark.parametrize("chosen", [UserFilter(), UserFilter("DE"), UserFilter(gender="female")])
def test_a_page_reads_few_more_users_than_it_shows(chosen):
    session = Session(many(20_000, 7_000))
    assert len(search.fetch_page(session, chosen, None, 50).users) == 50
    assert session.given <= 200


def test_the_more_rarely_users_match_the_more_months_are_read_together():
    users = [user._replace(gender="male") if number % 50 else user for number, user in enumerate(many(20_000, 7_000))]
    session = Session(users)
    assert len(search.fetch_page(session, UserFilter(gender="female"), None, 50).users) == 50
    assert session.asked["users"] <= 5


def test_a_page_that_read_enough_ends_early_and_the_next_ones_go_on(monkeypatch):
    monkeypatch.setattr(search, "STEP_USERS", 20)
    *others, oldest = many(2_000, 9_000)
    users = [*others, oldest._replace(gender="male")]
    pages = walk(Session(users), UserFilter(gender="male"), 50)
    assert [len(page.users) for page in pages if page.users] == [1]
    assert len(pages) > 2
    looked = [page.looked_back_to for page in pages[:-1] if page.looked_back_to]
    assert len(looked) == len(pages) - 1
    assert all(later > earlier for later, earlier in pairwise(looked))


def test_one_instant_shared_by_more_users_than_a_page_holds_is_walked_through():
    users = [user._replace(registered_at=NEWEST) for user in many(500, 1)]
    pages = walk(Session(users), UserFilter("DE"), 40)
    assert [len(page.users) for page in pages] == [40] * 12 + [20]
    assert {user.user_id for page in pages for user in page.users} == {user.user_id for user in users}


def test_a_user_who_arrives_meanwhile_moves_no_other():
    users = many(120, 30)
    first = search.fetch_page(Session(users), UserFilter(), None, 50)
    newer = users[0]._replace(registered_at=NEWEST, user_id=UUID(int=3 << 124 | 12345))
    following = search.fetch_page(Session([newer, *users]), UserFilter(), first.next, 50)
    assert [user.user_id for user in first.users + following.users] == [user.user_id for user in users[:100]]


def test_no_user_makes_an_empty_page_and_a_foreign_cursor_does_no_harm():
    assert search.fetch_page(Session([]), UserFilter(), None, 50) == UserPage((), None, None)
    old = KeysetCursor(datetime(1900, 1, 1, tzinfo=UTC), None)
    assert search.fetch_page(Session(many(20, 30)), UserFilter(), old, 50) == UserPage((), None, None)


def test_reading_everything_ends_with_a_sentence_when_it_takes_too_long():
    with pytest.raises(UserError, match="choose narrower filters"):
        list(search.iterate_users(Session(many(20, 30)), UserFilter(), -1))
