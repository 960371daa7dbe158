"""The flow: every hop, how long records take, the ledger, the runs of the ingest."""

from datetime import timedelta

import pytest
from streamlit.testing.v1 import AppTest

from dashboard.data import checks
from insights.ledger.flow_state import FlowState
from insights.ledger.hops import LedgerState
from insights.queries import pipeline
from tests.helpers.app_pages import HOSTILE, figures, metrics, opened, said, table
from tests.helpers.fake_stores import NOW
from tests.helpers.support import eventually

STILL = FlowState(unpublished=0, unread=0, undelivered=0, overdue=0, last_batch=3)


def picture(app: AppTest) -> str:
    [html] = app.get("html")
    return str(html.proto.body)


def checked(app: AppTest) -> AppTest:
    """The page after a check that is asked for there."""
    app.button(key="check").click().run()
    eventually(lambda: not checks.is_running(), 30, "the check did not end")
    return app.run()


@pytest.fixture
def served(fakes) -> pipeline.BatchSummary:
    batch = pipeline.BatchSummary(4, NOW, NOW, NOW + timedelta(seconds=2), 9, 8, 1, 8, 0, 1.5, 2.5, 4.25)
    fakes.batches.append(batch)
    return batch


def test_the_flow_shows_every_hop_and_what_waits():
    app = opened("flow")
    drawn = picture(app)
    for text in (
        "1,130<",
        "+ 5 duplicates",
        "1,125<",
        "11 rows wait<",
        "1,100<",
        "22 messages wait<",
        "+ 7 superseded",
        "+ 25 in quarantine",
        "100<",
        "1 batch waits<",
        "last moved ",
    ):
        assert text in drawn
    assert "On its way: 11 staged rows wait" in said(app)


def test_a_flow_in_which_nothing_waits_says_so(fakes):
    fakes.flow = STILL
    app = opened("flow")
    assert picture(app).count("nothing waits") == 5
    assert "Nothing is on its way" in app.success[0].value


def test_the_latency_of_the_last_hour_and_of_every_batch_is_told(served):  # noqa: ARG001
    app = opened("flow")
    assert metrics(app) == {"Latency p50": "1.50 s", "Latency p95": "2.50 s", "Latency p99": "4.25 s"}
    assert "100 new users" in said(app)
    assert figures(app) == 2
    assert list(table(app, "started_at")["batch_id"]) == [3, 4]


def test_the_latency_is_drawn_on_a_logarithmic_axis_when_asked(served):  # noqa: ARG001
    app = opened("flow")
    assert '"type":"log"' not in app.get("plotly_chart")[0].proto.spec
    app.toggle(key="logarithmic").set_value(True).run()
    assert '"type":"log"' in app.get("plotly_chart")[0].proto.spec


def test_without_a_new_user_in_the_last_hour_there_is_no_latency(fakes):
    fakes.latency = None
    app = opened("flow")
    assert not app.metric
    assert "No new user was served in the last 60 minutes" in said(app)


def test_the_ledger_is_checked_only_when_asked_and_its_result_is_there_for_all():
    app = opened("flow")
    assert not app.success
    checked(app)
    assert "The ledger is closed" in app.success[0].value
    assert list(table(app, "equation")["sentence"]) == ["It says so."]
    assert "The ledger is closed" in said(opened("flow"))


def test_a_check_that_runs_is_shown_to_all_and_cannot_be_started_again(monkeypatch):
    monkeypatch.setattr(checks, "get_started_at", lambda: NOW)
    app = opened("flow")
    assert "A check runs since" in said(app)
    assert app.button(key="check").disabled


def test_a_broken_ledger_is_shown_as_an_error_also_in_the_picture(fakes):
    fakes.state = LedgerState.BROKEN
    app = checked(opened("flow"))
    assert "found records lost, invented or changed" in app.error[0].value
    assert "The ledger is broken" in app.error[1].value
    assert picture(app).count("broken at ") == 1


def test_a_check_that_cannot_be_made_ends_in_a_sentence_without_markup(fakes):
    app = opened("flow")
    fakes.down = {"Kafka"}
    checked(app)
    assert not app.exception
    assert app.error[0].value.replace("\u2060", "") == r"Kafka \[is\]\(http\://example\.org\) away; start it\."


@pytest.mark.parametrize("store", ["PostgreSQL", "Kafka", "Cassandra"])
def test_the_flow_says_which_store_is_down_and_shows_the_rest(fakes, store):
    fakes.down = {store}
    app = opened("flow")
    assert f"{store} does not answer" in said(app)
    assert store == "PostgreSQL" or "1,125<" in picture(app)


def test_the_last_answers_of_kafka_stay_with_a_mark(fakes):
    app = opened("flow")
    fakes.down = {"Kafka"}
    app.run()
    assert "Stale: Kafka does not answer" in said(app)
    assert "last known: 11 rows wait" in picture(app)


def test_the_flow_before_the_first_batch_says_so(fakes):
    fakes.batches = []
    app = opened("flow")
    assert figures(app) == 0
    assert "The stream has not merged a batch yet" in said(app)


def test_the_runs_of_the_ingest_are_told_by_the_pages_that_they_landed():
    [run] = table(opened("flow"), "run_id").to_dict("records")
    assert (run["run_id"], run["pages"], run["fetched"], run["staged"], run["duplicates"]) == (HOSTILE, 2, 105, 100, 5)
    assert "state" not in run


def test_a_run_has_its_state_where_airflow_is_known(fakes, monkeypatch):
    monkeypatch.setenv("INSIGHTS_AIRFLOW_URL", "http://airflow.example:8080")
    fakes.airflow_runs.insert(0, fakes.airflow_runs[0]._replace(run_id="next", state="running"))
    following, run = table(opened("flow"), "run_id").to_dict("records")
    assert (following["run_id"], following["state"]) == ("next", "running")
    assert (run["state"], run["pages"]) == ("succeeded", 2)


def test_the_runs_are_there_without_their_states_when_airflow_is_away(fakes, monkeypatch):
    monkeypatch.setenv("INSIGHTS_AIRFLOW_URL", "http://airflow.example:8080")
    fakes.down = {"Airflow"}
    app = opened("flow")
    assert "Airflow does not answer" in said(app)
    assert list(table(app, "run_id")["pages"]) == [2]


def test_an_address_of_airflow_that_cannot_be_used_is_a_sentence_beside_the_runs(monkeypatch):
    monkeypatch.setenv("INSIGHTS_AIRFLOW_URL", "airflow")
    app = opened("flow")
    assert r"INSIGHTS\_AIRFLOW\_URL is 'airflow'" in app.error[0].value
    assert list(table(app, "run_id")["pages"]) == [2]


def test_an_ingest_that_never_ran_says_so(fakes):
    fakes.runs = []
    assert "has not run yet" in said(opened("flow"))
