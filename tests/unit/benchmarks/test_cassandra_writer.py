from types import SimpleNamespace

import pytest

from benchmarks import cassandra_writer
from benchmarks.common import rounds
from benchmarks.peers import environment
from insights.local.jars import read_lock


def test_each_round_starts_with_another_contender():
    assert [rounds.order_round(["a", "b", "c"], number) for number in range(4)] == [
        ["a", "b", "c"],
        ["b", "c", "a"],
        ["c", "a", "b"],
        ["a", "b", "c"],
    ]


class Table:
    """A session whose table holds the rows that the last contender wrote."""

    def __init__(self):
        self.rows: list[tuple[int, ...]] = []

    def execute(self, cql, timeout=None):  # noqa: ARG002
        if cql.startswith("TRUNCATE"):
            self.rows = []
        counted = cql.startswith("SELECT count")
        return SimpleNamespace(one=lambda: (len(self.rows),)) if counted else list(self.rows)


@pytest.mark.parametrize("other", [[], [(1,), (3,)], [(1,), (2,), (2,)]])
def test_a_contender_that_leaves_other_rows_than_the_writer_ends_the_benchmark(other):
    session = Table()
    contenders = {
        "writer": lambda: session.rows.extend([(1,), (2,)]),
        "twin": lambda: session.rows.extend([(1,), (2,)]),
    }
    cassandra_writer.require_same_rows(session, "user_profiles_by_id", ["a"], contenders)
    with pytest.raises(RuntimeError, match="other and the writer left different rows in user_profiles_by_id"):
        cassandra_writer.require_same_rows(
            session, "user_profiles_by_id", ["a"], contenders | {"other": lambda: session.rows.extend(other)}
        )


def test_the_lock_of_the_peers_has_every_root_and_shares_no_group_with_the_platforms():
    locked = read_lock(environment.LOCK)
    roots = {(group, *root[:3]) for group, members in environment.ROOTS.items() for root in members}
    assert {(jar.group, jar.organisation, jar.name, jar.version) for jar in locked} >= roots
    assert {jar.group for jar in locked} == set(environment.ROOTS)
    assert "://" not in environment.LOCK.read_text()
    assert not {jar.group for jar in read_lock()} & set(environment.ROOTS)


def test_an_argument_that_is_not_a_number_is_rejected():
    with pytest.raises(SystemExit):
        cassandra_writer.main(["--rows", "many"])
