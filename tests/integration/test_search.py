"""The search on a real Cassandra: it finds the same users as a filter over a list, in few statements."""

import csv
import io
from datetime import UTC, datetime
from itertools import pairwise, product
from typing import Any
from uuid import UUID, uuid4

import pyarrow.parquet as pq
import pytest
from pydantic import SecretStr

from dashboard.data import downloads
from insights.clients import connections
from insights.migrations.migrate_cassandra import migrate_cassandra
from insights.model.age_bands import get_age_range
from insights.queries import search
from insights.queries.search import UserFilter, UserPage
from insights.settings import CassandraSettings
from tests.helpers.dashboard_data import fill_cassandra, users

NOW = datetime.now(UTC).replace(microsecond=0)
MAX_STATEMENTS = 60


def make_people() -> list[dict[str, Any]]:
    """1,500 users, of whom 200 registered at two instants, one of them the start of a month."""
    made = users(1500, NOW)
    for person in made:
        person["registered_at"] = person["registered_at"].replace(
            microsecond=person["registered_at"].microsecond // 1000 * 1000
        )
    for number, person in enumerate(made[100:300]):
        registered = datetime(2019, 5, 1, tzinfo=UTC) if number % 2 else datetime(2019, 4, 30, 23, 59, 59, 999000, UTC)
        person |= {"registered_at": registered, "registered_month": f"{registered:%Y-%m}", "registered_year": 2019}
        if number < 150:
            person["country_code"] = "AU"
    return made


PEOPLE = make_people()
SINCE, UNTIL = "2015-03", "2019-05"


class CountingSession:
    """A session that counts its statements."""

    def __init__(self, session: Any) -> None:
        self.session = session
        self.keyspace = session.keyspace
        self.statements = 0

    def prepare(self, cql: str) -> Any:
        return self.session.prepare(cql)

    def execute(self, statement: Any, values: tuple[Any, ...]) -> Any:
        self.statements += 1
        return self.session.execute(statement, values)


@pytest.fixture(scope="module")
def session(cassandra_server):
    """A keyspace of all `PEOPLE`, shared by the tests that only read."""
    settings = CassandraSettings(
        hosts=cassandra_server.host,
        port=cassandra_server.port,
        keyspace=f"search_{uuid4().hex[:12]}",
        local_dc=cassandra_server.local_dc,
        username=cassandra_server.user,
        password=SecretStr(cassandra_server.password),
    )
    migrate_cassandra(settings)
    fill_cassandra(settings, PEOPLE)
    with connections.open_cassandra(settings) as session:
        yield CountingSession(session)
        session.execute(f"DROP KEYSPACE {settings.keyspace}")


def match_people(filters: UserFilter) -> list[dict[str, Any]]:
    return [
        person
        for person in PEOPLE
        if filters.country_code in (None, person["country_code"])
        and filters.gender in (None, person["gender"])
        and (
            filters.age_band is None
            or get_age_range(filters.age_band)[0] <= person["age"] <= get_age_range(filters.age_band)[1]
        )
        and (filters.since or "") <= person["registered_month"] <= (filters.until or "9")
    ]


def fetch_all_pages(session: Any, filters: UserFilter, limit: int) -> list[UserPage]:
    pages = [search.fetch_page(session, filters, None, limit)]
    while pages[-1].next:
        pages.append(search.fetch_page(session, filters, pages[-1].next, limit))
    return pages


def test_every_combination_of_filters_finds_exactly_the_matching_users(session):
    choices = product((None, "AU", "US"), (None, "female"), (None, "35-44"), (None, SINCE), (None, UNTIL))
    for filters in [UserFilter(*choice) for choice in choices]:
        expected = {person["user_id"]: person for person in match_people(filters)}
        pages = fetch_all_pages(session, filters, 500)
        matching = [user for page in pages for user in page.users]
        assert len(matching) == len(expected), filters
        for user in matching:
            person = expected.pop(user.user_id)
            assert user == tuple(person[field] for field in search.UserSummary._fields)
        assert all(newer.registered_at >= older.registered_at for newer, older in pairwise(matching))
        assert list(search.iterate_users(session, filters, 60)) == matching


@pytest.mark.parametrize(
    "filters", [UserFilter("AU"), UserFilter(gender="male"), UserFilter("AU", "male", "25-34", "2019-04", UNTIL)]
)
def test_pages_smaller_than_the_users_of_an_instant_hold_every_user_once(session, filters):
    pages = fetch_all_pages(session, filters, 17)
    user_ids = [user.user_id for page in pages for user in page.users]
    assert sorted(user_ids) == sorted(person["user_id"] for person in match_people(filters))
    assert all(len(page.users) == 17 for page in pages[:-1])


def test_a_page_takes_a_bounded_number_of_statements(session):
    for filters in (
        UserFilter(),
        UserFilter("AU"),
        UserFilter("US", "male", "75+"),
        UserFilter(age_band="0-17"),
        UserFilter("UA", until=UNTIL),
    ):
        cursor = None
        for _ in range(3):
            session.statements = 0
            page = search.fetch_page(session, filters, cursor, 50)
            search.count_users(session, filters)
            assert session.statements <= MAX_STATEMENTS
            cursor = page.next or cursor


def test_counts_are_exact_where_a_dimension_covers_the_filters(session):
    covered = [
        UserFilter(),
        UserFilter("AU"),
        UserFilter("ZZ"),
        UserFilter(gender="female"),
        UserFilter(since=SINCE),
        UserFilter(until=UNTIL),
        UserFilter(since=SINCE, until=UNTIL),
        UserFilter("US", since=SINCE),
        UserFilter("AU", since=SINCE, until=UNTIL),
        UserFilter("AU", until=UNTIL),
        UserFilter(since=UNTIL, until=SINCE),
    ]
    for filters in covered:
        assert search.count_users(session, filters) == len(match_people(filters)), filters
    for filters in (UserFilter("AU", "male"), UserFilter(gender="male", since=SINCE), UserFilter("AU", age_band="75+")):
        assert search.count_users(session, filters) is None


def test_counts_by_gender_and_age_band_are_exact(session):
    for gender, band in product((None, "female", "male"), ("18-24", "75+")):
        expected = sum(person["age_band"] == band and gender in (None, person["gender"]) for person in PEOPLE)
        assert search.count_users(session, UserFilter(gender=gender, age_band=band)) == expected


def test_downloads_hold_exactly_the_matching_users(session):
    filters = UserFilter("AU", gender="female")
    expected = {str(person["user_id"]) for person in match_people(filters)}
    as_csv = downloads.write_csv(search.iterate_users(session, filters, 60))
    rows = list(csv.DictReader(io.StringIO(as_csv.content.decode("utf-8-sig"), newline="")))
    assert {row["user_id"] for row in rows} == expected
    assert [row["registered_at"] for row in rows] == sorted((row["registered_at"] for row in rows), reverse=True)
    as_parquet = downloads.write_parquet(search.iterate_users(session, filters, 60))
    assert set(pq.read_table(io.BytesIO(as_parquet.content))["user_id"].to_pylist()) == expected
    assert as_csv.users == as_parquet.users == len(expected)


def test_ids_of_several_uuid_versions_at_one_instant_are_all_found(cassandra):
    """Cassandra sorts UUIDs by version first, Python does not."""
    at = datetime(2020, 1, 1, tzinfo=UTC)
    base = users(1, NOW)[0] | {"registered_at": at, "registered_month": "2020-01", "country_code": "DE", "bucket": 10}
    ids = [
        UUID(f"a{number:07x}-0000-{version}000-8000-{number:012x}")
        for number in range(9)
        for version in (1, 3, 4, 5, 7)
    ]
    fill_cassandra(cassandra, [base | {"user_id": user_id} for user_id in ids])
    with connections.open_cassandra(cassandra) as session:
        for filters in (UserFilter(), UserFilter("DE")):
            user_ids = [user.user_id for page in fetch_all_pages(session, filters, 4) for user in page.users]
            assert sorted(user_ids) == sorted(ids)


def test_the_only_user_of_a_month_long_ago_is_found(cassandra):
    old = datetime(1931, 2, 28, 12, tzinfo=UTC)
    person = users(1, NOW)[0] | {"registered_at": old, "registered_month": "1931-02"}
    fill_cassandra(cassandra, [person])
    with connections.open_cassandra(cassandra) as session:
        page = search.fetch_page(session, UserFilter(), None, 50)
        assert [user.registered_at for user in page.users] == [old]
        assert search.fetch_page(session, UserFilter(until="1931-01"), None, 50).users == ()
        assert search.fetch_page(session, UserFilter(since="1931-02", until="1931-02"), None, 50).users == page.users
