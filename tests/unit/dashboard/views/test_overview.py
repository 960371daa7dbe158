"""The overview: what it says when full, empty and down."""

from datetime import UTC, datetime

import pytest
from streamlit.testing.v1 import AppTest

from dashboard.data import checks, growth, stores
from insights.errors import UserError
from insights.ledger import check as ledger_check
from insights.ledger.flow_state import FlowState
from insights.ledger.hops import LedgerState
from insights.queries import users as user_queries
from tests.helpers.app_pages import PAGES, alts, figures, metrics, opened, said
from tests.helpers.fake_stores import FakeStores


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


def test_the_country_that_grew_most_is_named_with_its_numbers_and_its_month(fakes):
    now = datetime.now(UTC)
    month = growth.find_last_complete_month(now)
    before = growth.shift_month(month, -1)
    fakes.counts = fakes.counts | {"registered_month": {before: 30, month: 60, f"{now:%Y-%m}": 99}}
    fakes.crossed = fakes.crossed | {
        "month_country": {
            (before, "DE"): 20,
            (before, "FR"): 10,
            (month, "DE"): 30,
            (month, "FR"): 15,
            (f"{now:%Y-%m}", "DE"): 5,
        }
    }
    app = opened("overview")
    text = said(app)
    assert (
        f"**Germany** grew most in **{growth.format_month(month)}**: **30** users registered there, "
        "+50.00 % against 20 in the month before; that is +85.71 % on the 35 who had registered earlier. "
        "For its size, **France** grew most: 15 users on 15."
    ) in text
    assert metrics(app)["Most new users"] == "Germany"
    assert metrics(app)["Most for its size"] == "France"
    assert [metric.delta for metric in app.metric if metric.delta] == ["30 users", "+100.00 %"]
    assert "the newest with registrations" not in text


@pytest.mark.parametrize(
    ("codes", "words"),
    [
        (["DE", "FR"], "registered there, as many as in France, "),
        (["AU", "DE", "FR", "GB"], "registered there, as many as in Germany, France and 1 more, "),
    ],
)
def test_countries_that_grew_as_much_are_named_with_the_first(fakes, codes, words):
    month = growth.find_last_complete_month(datetime.now(UTC))
    before = growth.shift_month(month, -1)
    fakes.counts = fakes.counts | {"country_code": dict.fromkeys(codes, 40), "registered_month": {before: 5, month: 60}}
    crossed = {(month, code): 15 for code in codes} | {(before, codes[0]): 5}
    fakes.crossed = fakes.crossed | {"month_country": crossed}
    assert words in said(opened("overview"))


def test_an_older_month_stands_in_for_the_last_one_and_says_so():
    text = said(opened("overview"))
    assert "**Germany** grew most in **March 2020**" in text
    assert "this is March 2020, the newest with registrations" in text


def test_without_a_complete_month_no_country_grew(fakes):
    fakes.counts = fakes.counts | {"registered_month": {"9999-01": 1}}
    app = opened("overview")
    assert "No complete month has a registration yet" in said(app)
    assert figures(app) == 3


@pytest.mark.parametrize(
    ("flow", "words"),
    [
        (FlowState(0, 0, 0, 0, 3), "Nothing is in flight. No full check has proven yet that nothing was lost"),
        (FlowState(11, 22, 1, 0, 3), "Nearly: 11 staged rows wait for the publisher, 22 messages wait for the str"),
        (FlowState(0, 0, 1, 1, 3), "No, the flow is stuck: 1 batch waits for Cassandra"),
    ],
)
def test_whether_the_data_is_complete_is_said_with_what_is_in_quarantine(monkeypatch, flow, words):
    monkeypatch.setattr(stores, "_in_flight", lambda: flow)
    text = said(opened("overview"))
    assert words in text
    assert "100 users are counted here, 25 records (20.00 %) were refused by a rule" in text


def test_the_last_full_check_is_told(fakes, monkeypatch):
    assert "No full check, record by record, was made" in said(opened("overview"))
    monkeypatch.setattr(stores, "_in_flight", lambda: FlowState(0, 0, 0, 0, 3))
    monkeypatch.setattr(checks, "get_last_ledger", lambda: ledger_check.check_ledger(stores.get_store_settings()))
    assert "Yes: nothing is in flight, and no record was missing" in said(opened("overview"))
    fakes.state = LedgerState.BROKEN
    text = said(opened("overview"))
    assert "found the ledger **broken**" in text
    assert "No: the last full check missed records" in text


@pytest.mark.parametrize("store", ["PostgreSQL", "Kafka"])
def test_completeness_is_not_known_without_a_store(fakes, store):
    fakes.down = {store}
    assert "Not known: PostgreSQL or Kafka does not answer" in said(opened("overview"))


@pytest.mark.usefixtures("fakes")
def test_the_overview_leads_to_the_flow():
    app = AppTest.from_file(str(PAGES.parent / "app.py"), default_timeout=30).run()
    assert not app.exception
    assert [link.proto.page for link in app.get("page_link")] == ["Flow"]


def test_arrivals_per_minute_add_up():
    app = opened("overview")
    assert alts(app)[0] == "Bars of arrivals per minute: 120 in the last 60 minutes, at most 60 in one."


@pytest.fixture
def broken_queries(fakes: FakeStores, monkeypatch: pytest.MonkeyPatch) -> FakeStores:
    """Cassandra goes down behind an open session."""
    answer = user_queries.read_counts

    def counts(session: object, dimension: str) -> dict[str, int]:
        if "Cassandra" in fakes.down:
            raise UserError("no host")
        return answer(session, dimension)

    monkeypatch.setattr(user_queries, "read_counts", counts)
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
    assert figures(app) == 3
