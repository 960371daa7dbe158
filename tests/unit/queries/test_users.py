"""The statements that the dashboard's queries send to Cassandra."""

import gc
from types import SimpleNamespace
from typing import Any
from weakref import ref

from insights.model.schema import BUCKETS
from insights.queries import users
from insights.queries.users import MAX_PARTITIONS


class Session:
    """Answers every statement with `rows`, and records what was prepared and bound."""

    keyspace = "insights"

    def __init__(self, *rows: Any) -> None:
        self.prepared: list[str] = []
        self.bound: list[tuple[Any, ...]] = []
        self._rows = rows

    def prepare(self, cql: str) -> str:
        self.prepared.append(cql)
        return cql

    def execute(self, _: str, values: tuple[Any, ...]) -> tuple[Any, ...]:
        self.bound.append(values)
        return self._rows


def test_a_statement_is_prepared_once_per_session() -> None:
    first, second = Session(SimpleNamespace(value="DE", count=2), SimpleNamespace(value="FR", count=0)), Session()
    for dimension in ("country_code", "gender"):
        assert users.read_counts(first, dimension) == {"DE": 2}
    assert users.read_counts(second, "gender") == {}
    assert (len(first.prepared), len(second.prepared)) == (1, 1)
    assert first.bound == [("country_code",), ("gender",)]


def test_a_session_that_ended_is_not_kept() -> None:
    session = Session()
    users.read_counts(session, "gender")
    reference = ref(session)
    del session
    gc.collect()
    assert reference() is None


def test_a_sample_of_places_reads_a_bounded_number_of_partitions() -> None:
    session = Session()
    codes = [f"{number:04d}" for number in range(MAX_PARTITIONS + 1)]
    for count in (21, 100, len(codes)):
        users.sample_places(session, codes[:count], 3)
    read = [(len(countries), len(buckets)) for countries, buckets, _ in session.bound]
    assert read == [(21, BUCKETS), (100, MAX_PARTITIONS // 100), (MAX_PARTITIONS, 1)]


def test_counts_of_one_first_value_are_read_as_a_range_that_holds_no_other() -> None:
    session = Session(SimpleNamespace(value='["DE", "Ulm"]', count=2), SimpleNamespace(value='["DE", null]', count=0))
    assert users.read_cross_counts(session, "country_city", "DE") == {("DE", "Ulm"): 2}
    [(_, start, end)] = session.bound
    assert start <= '["DE", "Ulm"]' < end
    assert start <= '["DE", null]' < end
    assert not start <= '["DEX", "Ulm"]' < end
    assert not start <= '["D", "Ulm"]' < end
