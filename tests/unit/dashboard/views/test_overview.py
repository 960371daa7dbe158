"""The overview: what it shows with users, without users, and while a store is down."""

from datetime import UTC, datetime

import pytest
from streamlit.testing.v1 import AppTest

from dashboard.data import checks, growth, stores
from insights.errors import UserError
from insights.ledger import check as ledger_check
from insights.ledger.flow_state import FlowState
from insights.ledger.hops import LedgerState
from insights.queries import users as user_queries
from tests.helpers.app_pages import PAGES, count_figures, get_metrics, list_alts, open_page, read_text
from tests.helpers.fake_stores import FakeStores


def test_the_overview_counts_each_user_once_and_the_share_of_quarantine():
    shown = get_metrics(open_page("overview"))
    assert (shown["Users"], shown["Countries"], shown["In quarantine"]) == ("100", "2", "20.00%")
    assert shown["Newest record"].endswith(("s ago", "min ago"))


def test_the_overview_says_what_to_do_when_there_are_no_users(fakes):
    fakes.counts, fakes.quarantine = {}, {}
    app = open_page("overview")
    assert count_figures(app) == 0
    assert "No users yet" in read_text(app)
    assert get_metrics(app)["Users"] == "0"
    assert get_metrics(app)["Newest record"] == "never"


def test_an_overview_that_never_had_an_answer_says_so_and_draws_nothing(fakes):
    fakes.down = {"Cassandra"}
    app = open_page("overview")
    assert "Cassandra does not answer" in read_text(app)
    assert count_figures(app) == len(app.metric) == 0


def test_the_country_that_grew_most_is_named_with_its_numbers_and_month(fakes):
    now = datetime.now(UTC)
    month = growth.find_last_complete_month(now)
    before = growth.shift_month(month, -1)
    fakes.counts = fakes.counts | {"registered_month": {before: 30, month: 60, f"{now:%Y-%m}": 99}}
    fakes.cross_counts = fakes.cross_counts | {
        "month_country": {
            (before, "DE"): 20,
            (before, "FR"): 10,
            (month, "DE"): 30,
            (month, "FR"): 15,
            (f"{now:%Y-%m}", "DE"): 5,
        }
    }
    app = open_page("overview")
    text = read_text(app)
    assert (
        f"**Germany** grew most in **{growth.format_month(month)}**: **30 users** registered there, "
        "+50.00% from 20 in the month before; that is +85.71% on the 35 who had registered earlier. "
        "For its size, **France** grew most: 15 new users on top of 15."
    ) in text
    assert get_metrics(app)["Most new users"] == "Germany"
    assert get_metrics(app)["Most for its size"] == "France"
    assert [metric.delta for metric in app.metric if metric.delta] == ["30 users", "+100.00%"]
    assert "the most recent month with registrations" not in text


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
    growth_counts = {(month, code): 15 for code in codes} | {(before, codes[0]): 5}
    fakes.cross_counts = fakes.cross_counts | {"month_country": growth_counts}
    assert words in read_text(open_page("overview"))


def test_an_older_month_replaces_the_last_one_if_that_has_no_registrations():
    text = read_text(open_page("overview"))
    assert "**Germany** grew most in **March 2020**" in text
    assert "this answer is for March 2020, the most recent month with registrations" in text


def test_without_a_complete_month_no_country_grew(fakes):
    fakes.counts = fakes.counts | {"registered_month": {"9999-01": 1}}
    app = open_page("overview")
    assert "No complete month has registrations yet" in read_text(app)
    assert count_figures(app) == 3


@pytest.mark.parametrize(
    ("flow", "words"),
    [
        (FlowState(0, 0, 0, 0, 3), "Nothing is in flight, but no full check has verified yet that no record was lost"),
        (FlowState(11, 22, 1, 0, 3), "Nearly: 11 staged rows wait for the publisher, 22 messages wait for the str"),
        (FlowState(0, 0, 1, 1, 3), "No, the flow has stalled: 1 batch waits for Cassandra"),
    ],
)
def test_whether_the_data_is_complete_is_stated_with_what_is_in_quarantine(monkeypatch, flow, words):
    monkeypatch.setattr(stores, "_measure_in_flight", lambda: flow)
    text = read_text(open_page("overview"))
    assert words in text
    assert "This page counts 100 users. 25 records (20.00%) rejected by a rule are in quarantine." in text


def test_the_result_of_the_last_full_check_is_shown(fakes, monkeypatch):
    assert "No full check, record by record, has run" in read_text(open_page("overview"))
    monkeypatch.setattr(stores, "_measure_in_flight", lambda: FlowState(0, 0, 0, 0, 3))
    monkeypatch.setattr(checks, "get_last_ledger", lambda: ledger_check.check_ledger(stores.get_store_settings()))
    assert "Yes: nothing is in flight, and the last full check found no record missing" in read_text(
        open_page("overview")
    )
    fakes.state = LedgerState.BROKEN
    text = read_text(open_page("overview"))
    assert "found the ledger **broken**" in text
    assert "No: the last full check found missing, extra or changed records" in text


@pytest.mark.parametrize("store", ["PostgreSQL", "Kafka"])
def test_completeness_is_unknown_without_a_store(fakes, store):
    fakes.down = {store}
    assert "Unknown: PostgreSQL or Kafka does not answer" in read_text(open_page("overview"))


@pytest.mark.usefixtures("fakes")
def test_the_overview_links_to_the_flow():
    app = AppTest.from_file(str(PAGES.parent / "app.py"), default_timeout=30).run()
    assert not app.exception
    assert [link.proto.page for link in app.get("page_link")] == ["flow"]


def test_arrivals_per_minute_add_up():
    app = open_page("overview")
    assert list_alts(app)[0] == "Bar chart of arrivals per minute: 120 in the last 60 minutes, at most 60 in one."


@pytest.fixture
def broken_queries(fakes: FakeStores, monkeypatch: pytest.MonkeyPatch) -> FakeStores:
    """Queries that fail on an open session while Cassandra is down."""
    answer = user_queries.read_counts

    def counts(session: object, dimension: str) -> dict[str, int]:
        if "Cassandra" in fakes.down:
            raise UserError("no host")
        return answer(session, dimension)

    monkeypatch.setattr(user_queries, "read_counts", counts)
    return fakes


def test_the_overview_keeps_the_last_answers_marked_stale_while_cassandra_is_down_and_recovers(broken_queries):
    app = open_page("overview")
    assert "Stale" not in read_text(app)
    broken_queries.down = {"Cassandra"}
    app.run()
    assert not app.exception
    assert "Stale: Cassandra does not answer" in read_text(app)
    assert get_metrics(app)["Users"] == "100"
    assert count_figures(app) == 4
    broken_queries.down = set()
    app.run()
    assert "Stale" not in read_text(app)


def test_the_overview_works_without_postgresql(fakes):
    fakes.down = {"PostgreSQL"}
    app = open_page("overview")
    assert get_metrics(app)["In quarantine"] == "unknown"
    assert count_figures(app) == 3
