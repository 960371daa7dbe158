"""The flow: every hop, the latency of records, the ledger, the ingest runs."""

from datetime import timedelta

import pytest
from streamlit.testing.v1 import AppTest

from dashboard.components import formatting
from dashboard.data import checks
from insights.clients.component_states import ComponentState, ComponentStatus, write_states
from insights.ledger.flow_state import FlowState
from insights.ledger.hops import LedgerState
from insights.queries import pipeline
from tests.helpers.app_pages import HOSTILE, count_figures, get_metrics, get_table, open_page, read_text
from tests.helpers.fake_stores import NOW
from tests.helpers.support import eventually

IDLE = FlowState(unpublished=0, unread=0, undelivered=0, overdue=0, last_batch=3)


def read_diagram(app: AppTest) -> str:
    [html] = app.get("html")
    return str(html.proto.body)


def run_check(app: AppTest) -> AppTest:
    """Run a check on the page, and return the page with its result."""
    app.button(key="check").click().run()
    eventually(lambda: not checks.is_running(), 30, "the check did not end")
    return app.run()


@pytest.fixture
def delivered_batch(fakes) -> pipeline.BatchSummary:
    batch = pipeline.BatchSummary(4, NOW, NOW, NOW + timedelta(seconds=2), 9, 8, 1, 8, 0, 1.5, 2.5, 4.25)
    fakes.batches.append(batch)
    return batch


def test_components_that_are_not_ready_are_named_those_that_keep_failing_first(tmp_path, monkeypatch):
    monkeypatch.setenv("INSIGHTS_HOME", str(tmp_path))
    failure = f"stream failed 5 times in a row and is tried again in 31 s; the last error: {HOSTILE}"
    write_states(
        tmp_path,
        [
            ComponentStatus("kafka", ComponentState.DIED, "exit code -9"),
            ComponentStatus("dashboard", ComponentState.READY, ""),
            ComponentStatus("publisher", ComponentState.STARTING, ""),
            ComponentStatus("stream", ComponentState.FAILED, failure),
        ],
    )
    app = open_page("flow")
    assert [error.value for error in app.error] == [formatting.escape_markdown(failure)]
    assert [warning.value for warning in app.warning] == [
        "kafka is not ready, died: exit code \\-9",
        "publisher is not ready, starting",
    ]
    write_states(tmp_path, [ComponentStatus("stream", ComponentState.READY, "")])
    app.run()
    assert (len(app.error), len(app.warning)) == (0, 0)


def test_the_flow_shows_every_hop_and_what_waits():
    app = open_page("flow")
    drawn = read_diagram(app)
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
        "last published: ",
    ):
        assert text in drawn
    assert "In flight: 11 staged rows wait" in read_text(app)


def test_a_flow_in_which_nothing_waits_says_so(fakes):
    fakes.flow = IDLE
    app = open_page("flow")
    assert read_diagram(app).count("nothing waits") == 5
    assert "Nothing is in flight" in app.success[0].value


def test_the_latency_of_the_last_hour_and_of_every_batch_is_shown(delivered_batch):  # noqa: ARG001
    app = open_page("flow")
    assert get_metrics(app) == {"Latency p50": "1.50 s", "Latency p95": "2.50 s", "Latency p99": "4.25 s"}
    assert "100 new users" in read_text(app)
    assert count_figures(app) == 2
    assert list(get_table(app, "started_at")["batch_id"]) == [3, 4]


def test_the_latency_is_drawn_on_a_logarithmic_axis_on_request(delivered_batch):  # noqa: ARG001
    app = open_page("flow")
    assert '"type":"log"' not in app.get("plotly_chart")[0].proto.spec
    app.toggle(key="logarithmic").set_value(True).run()
    assert '"type":"log"' in app.get("plotly_chart")[0].proto.spec


def test_without_a_new_user_in_the_last_hour_there_is_no_latency(fakes):
    fakes.latency = None
    app = open_page("flow")
    assert not app.metric
    assert "No new user was delivered in the last 60 minutes" in read_text(app)


def test_the_ledger_is_checked_only_on_request_and_all_visitors_see_the_result():
    app = open_page("flow")
    assert not app.success
    run_check(app)
    assert "The ledger is closed" in app.success[0].value
    assert list(get_table(app, "equation")["sentence"]) == ["It says so."]
    assert "The ledger is closed" in read_text(open_page("flow"))


def test_a_running_check_is_shown_to_all_and_cannot_be_started_again(monkeypatch):
    monkeypatch.setattr(checks, "get_started_at", lambda: NOW)
    app = open_page("flow")
    assert "A check has been running since" in read_text(app)
    assert app.button(key="check").disabled


def test_a_broken_ledger_is_shown_as_an_error_in_the_diagram_too(fakes):
    fakes.state = LedgerState.BROKEN
    app = run_check(open_page("flow"))
    assert "found missing, extra or changed records" in app.error[0].value
    assert "The ledger is broken" in app.error[1].value
    assert read_diagram(app).count("broken at ") == 1


def test_a_check_that_fails_is_an_error_message_without_markup(fakes):
    app = open_page("flow")
    fakes.down = {"Kafka"}
    run_check(app)
    assert not app.exception
    assert app.error[0].value.replace("\u2060", "") == r"Kafka \[is\]\(http\://example\.org\) away; start it\."


@pytest.mark.parametrize("store", ["PostgreSQL", "Kafka", "Cassandra"])
def test_the_flow_says_which_store_is_down_and_shows_the_rest(fakes, store):
    fakes.down = {store}
    app = open_page("flow")
    assert f"{store} does not answer" in read_text(app)
    assert store == "PostgreSQL" or "1,125<" in read_diagram(app)


def test_the_last_answers_of_kafka_stay_marked_stale(fakes):
    app = open_page("flow")
    fakes.down = {"Kafka"}
    app.run()
    assert "Stale: Kafka does not answer" in read_text(app)
    assert "last known: 11 rows wait" in read_diagram(app)


def test_the_flow_before_the_first_batch_says_so(fakes):
    fakes.batches = []
    app = open_page("flow")
    assert count_figures(app) == 0
    assert "The stream has not merged a batch yet" in read_text(app)


def test_an_ingest_run_is_listed_by_the_pages_that_it_staged():
    [run] = get_table(open_page("flow"), "run_id").to_dict("records")
    assert (run["run_id"], run["pages"], run["fetched"], run["staged"], run["duplicates"]) == (HOSTILE, 2, 105, 100, 5)
    assert "state" not in run


def test_a_run_has_its_state_if_airflow_is_configured(fakes, monkeypatch):
    monkeypatch.setenv("INSIGHTS_AIRFLOW_URL", "http://airflow.example:8080")
    fakes.airflow_runs.insert(0, fakes.airflow_runs[0]._replace(run_id="next", state="running"))
    following, run = get_table(open_page("flow"), "run_id").to_dict("records")
    assert (following["run_id"], following["state"]) == ("next", "running")
    assert (run["state"], run["pages"]) == ("succeeded", 2)


def test_the_runs_are_listed_without_their_states_while_airflow_is_down(fakes, monkeypatch):
    monkeypatch.setenv("INSIGHTS_AIRFLOW_URL", "http://airflow.example:8080")
    fakes.down = {"Airflow"}
    app = open_page("flow")
    assert "Airflow does not answer" in read_text(app)
    assert list(get_table(app, "run_id")["pages"]) == [2]


def test_an_invalid_address_of_airflow_is_an_error_message_beside_the_runs(monkeypatch):
    monkeypatch.setenv("INSIGHTS_AIRFLOW_URL", "airflow")
    app = open_page("flow")
    assert r"INSIGHTS\_AIRFLOW\_URL is 'airflow'" in app.error[0].value
    assert list(get_table(app, "run_id")["pages"]) == [2]


def test_an_ingest_that_never_ran_says_so(fakes):
    fakes.runs = []
    assert "has not run yet" in read_text(open_page("flow"))
