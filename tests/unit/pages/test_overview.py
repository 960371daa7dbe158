"""The overview: what it says when full, empty and down."""

import pytest

from insights.errors import UserError
from insights.serve import queries
from tests.unit.dashboard_fakes import FakeStores
from tests.unit.pages.support import figures, metrics, opened, said


def test_the_overview_counts_each_user_once_and_the_share_of_quarantine():
    found = metrics(opened("overview"))
    assert (found["Users"], found["Countries"], found["In quarantine"]) == ("100", "2", "20.00 %")
    assert found["Newest record"].endswith(("s ago", "min ago"))


def test_the_overview_says_what_to_do_when_there_are_no_users(fakes):
    fakes.counts, fakes.quarantine = {}, {}
    app = opened("overview")
    assert figures(app) == 0
    assert "No users yet" in said(app)
    assert metrics(app)["Users"] == "0"
    assert metrics(app)["Newest record"] == "never"


def test_the_overview_without_an_answer_ever_says_so_and_draws_nothing(fakes):
    fakes.down = {"Cassandra"}
    app = opened("overview")
    assert "Cassandra does not answer" in said(app)
    assert figures(app) == len(app.metric) == 0


@pytest.fixture
def broken_queries(fakes: FakeStores, monkeypatch: pytest.MonkeyPatch) -> FakeStores:
    """Cassandra goes down behind an open session."""
    answer = queries.counts

    def counts(session: object, dimension: str) -> dict[str, int]:
        if "Cassandra" in fakes.down:
            raise UserError("no host")
        return answer(session, dimension)

    monkeypatch.setattr(queries, "counts", counts)
    return fakes


def test_the_overview_keeps_the_last_answers_with_a_mark_while_cassandra_is_down_and_recovers(broken_queries):
    app = opened("overview")
    assert "Stale" not in said(app)
    broken_queries.down = {"Cassandra"}
    app.run()
    assert not app.exception
    assert "Stale: Cassandra does not answer" in said(app)
    assert metrics(app)["Users"] == "100"
    assert figures(app) == 4
    broken_queries.down = set()
    app.run()
    assert "Stale" not in said(app)


def test_the_overview_does_without_postgresql(fakes):
    fakes.down = {"PostgreSQL"}
    app = opened("overview")
    assert metrics(app)["In quarantine"] == "unknown"
    assert figures(app) == 4
