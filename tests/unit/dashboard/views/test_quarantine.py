"""Rejected records, and their re-drive by a run of Airflow's DAG."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import streamlit as st

from dashboard import auth
from dashboard.components import redrive
from dashboard.data.rejected_value import show_rejected_value
from insights.clients import airflow as airflow_api
from insights.clients.airflow import DagRun
from insights.errors import UserError
from insights.model.reasons import Reason
from insights.queries import pipeline
from insights.settings import AirflowSettings
from tests.helpers.app_pages import HOSTILE, count_figures, get_metrics, get_table, open_page, read_text
from tests.helpers.fake_stores import NOW
from tests.helpers.hostile_names import NAMES


class Airflow:
    """An Airflow with runs to list that records those it starts; if `error` is set, it is raised instead."""

    def __init__(self) -> None:
        self.runs = [
            DagRun("manual__1", "success", "manual", NOW, NOW + timedelta(seconds=4), {"reason": "BAD_EMAIL"}),
            DagRun(HOSTILE, "queued", "manual", None, None, {}),
        ]
        self.started: list[tuple[str, Mapping[str, Any], str]] = []
        self.error = ""

    def list_last_runs(self, settings: AirflowSettings, dag_id: str, limit: int) -> list[DagRun]:
        assert (settings.url, dag_id) == ("http://airflow:8080", "redrive_quarantine")
        self._maybe_fail()
        return self.runs[:limit]

    def trigger_run(self, _: AirflowSettings, dag_id: str, conf: Mapping[str, Any], note: str) -> str:
        self._maybe_fail()
        self.started.append((dag_id, conf, note))
        return "manual__2"

    def _maybe_fail(self) -> None:
        if self.error:
            raise UserError(self.error)


@pytest.fixture
def airflow(monkeypatch: pytest.MonkeyPatch) -> Airflow:
    """A configured Airflow, and a visitor who is an operator."""
    fake = Airflow()
    monkeypatch.setenv("INSIGHTS_AIRFLOW_URL", "http://airflow:8080")
    monkeypatch.setattr(airflow_api, "list_last_runs", fake.list_last_runs)
    monkeypatch.setattr(airflow_api, "trigger_run", fake.trigger_run)
    monkeypatch.setattr(auth, "get_visitor", lambda: "ann@example.com")
    monkeypatch.setattr(auth, "may_redrive", lambda: True)
    return fake


def list_button_keys(app) -> set[str]:
    return {button.key for button in app.button}


def test_quarantine_shows_reasons_over_time_and_samples():
    app = open_page("quarantine")
    assert get_metrics(app) == {"Records in quarantine": "25", "Reasons": "1", "Rejected in 7 days": "25"}
    assert count_figures(app) == 2
    row = get_table(app, "origin").to_dict("records")[0]
    assert [row[name] for name in ("field", "value", "detail", "origin")] == [
        "email",
        '"at.example"',
        HOSTILE,
        "users.raw/0/1",
    ]


def test_the_rule_of_the_chosen_reason_is_shown(fakes):
    fakes.quarantine = {"BAD_DATE": 3, "BAD_EMAIL": 9, "NEW_REASON": 1}
    app = open_page("quarantine")
    assert "- `email`: The value is not an e-mail address." in read_text(app)
    app.selectbox(key="reason").select("BAD_DATE").run()
    assert "- `dob`, `registered`: The value is not a date in UTC." in read_text(app)
    assert "`email`" not in read_text(app)
    app.selectbox(key="reason").select("NEW_REASON").run()
    assert "No rule of this version has this reason" in read_text(app)
    assert not app.exception


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_has_a_rule_that_can_be_shown(fakes, reason):
    fakes.quarantine = {str(reason): 1}
    assert "Rules with this reason" in read_text(open_page("quarantine"))


def test_a_reason_that_was_resolved_while_it_was_chosen_gives_way_to_another(fakes):
    fakes.quarantine = {"BAD_DATE": 3, "BAD_EMAIL": 9}
    app = open_page("quarantine")
    app.selectbox(key="reason").select("BAD_DATE").run()
    fakes.quarantine = {"BAD_EMAIL": 9}
    app.run()
    assert not app.exception
    assert app.selectbox(key="reason").value == "BAD_EMAIL"


def test_hours_are_added_up_by_day(fakes):
    midnight = NOW.replace(hour=0, minute=0, second=0, microsecond=0)
    fakes.rejections = [pipeline.HourlyRejections(midnight + timedelta(hours=hour), "SCHEMA", 2) for hour in (1, 5)]
    app = open_page("quarantine")
    assert '"y":[2,2]' in app.get("plotly_chart")[0].proto.spec.replace(" ", "")
    app.button_group(key="bars").select("day").run()
    assert '"y":[4]' in app.get("plotly_chart")[0].proto.spec.replace(" ", "")


@pytest.mark.parametrize(("hours_ago", "begins_ago"), [(0, 11), (3, 11), (30, 30), (24 * 8, 24 * 7 - 1)])
def test_the_hours_begin_with_the_first_rejection(fakes, hours_ago, begins_ago):
    hour = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    fakes.rejections = [pipeline.HourlyRejections(hour - timedelta(hours=hours_ago), "SCHEMA", 2)]
    axis = json.loads(open_page("quarantine").get("plotly_chart")[0].proto.spec)["layout"]["xaxis"]
    begin, end = (datetime.fromisoformat(f"{instant}+00:00") for instant in axis["range"])
    assert (end - begin) // timedelta(hours=1) == begins_ago + 1


def test_two_hundred_hostile_details_are_cells_and_nothing_else(monkeypatch):
    def list_samples(_: object, reason: str, limit: int) -> list[pipeline.QuarantineSample]:
        assert limit >= 50
        return [pipeline.QuarantineSample(NOW, reason, name, name, name, 0, 9, f"{{{name}".encode()) for name in NAMES]

    monkeypatch.setattr(pipeline, "list_quarantine_samples", list_samples)
    app = open_page("quarantine")
    cells = get_table(app, "origin")
    for column in ("field", "detail", "origin"):
        assert list(cells[column]) == list(NAMES)
    assert list(cells["value"]) == [show_rejected_value(f"{{{name}".encode(), "") for name in NAMES]
    assert "owned" not in read_text(app)
    assert "example.org" not in read_text(app)


def test_an_empty_quarantine_is_good_news(fakes):
    fakes.quarantine, fakes.rejections = {}, []
    app = open_page("quarantine")
    assert app.success[0].value == "The quarantine is empty."
    assert count_figures(app) == 0


def test_rejections_that_were_resolved_are_shown_while_nothing_is_open(fakes):
    fakes.quarantine = {}
    app = open_page("quarantine")
    assert app.success[0].value == "The quarantine is empty."
    assert count_figures(app) == 1
    assert get_metrics(app)["Rejected in 7 days"] == "25"


def test_quarantine_without_postgresql_says_so(fakes):
    fakes.down = {"PostgreSQL"}
    assert "PostgreSQL does not answer" in read_text(open_page("quarantine"))


def test_a_dashboard_without_airflow_says_how_to_redrive(monkeypatch):
    monkeypatch.delenv("INSIGHTS_AIRFLOW_URL", raising=False)
    app = open_page("quarantine")
    assert (
        "No Airflow is configured for this dashboard: trigger the DAG redrive_quarantine in Airflow yourself"
        in read_text(app)
    )
    assert "redrive" not in list_button_keys(app)


def test_an_invalid_address_of_airflow_is_an_error_message_beside_the_rest(monkeypatch):
    monkeypatch.setenv("INSIGHTS_AIRFLOW_URL", "airflow")
    app = open_page("quarantine")
    assert r"INSIGHTS\_AIRFLOW\_URL is 'airflow'" in app.error[0].value
    assert count_figures(app) == 2


@pytest.mark.usefixtures("airflow")
def test_the_last_redrives_are_listed_with_their_reason_and_state():
    first, second = get_table(open_page("quarantine"), "run_id").to_dict("records")
    assert (first["run_id"], first["reason"], first["state"], first["seconds"]) == (
        "manual__1",
        "BAD_EMAIL",
        "succeeded",
        4.0,
    )
    assert (second["run_id"], second["reason"], second["state"]) == (HOSTILE, "all", "queued")


def test_before_the_first_redrive_the_page_says_so(airflow):
    airflow.runs = []
    assert "There has been no re-drive yet" in read_text(open_page("quarantine"))


def test_an_airflow_that_is_down_says_why_and_leaves_the_rest(airflow):
    airflow.error = "Airflow at http://airflow:8080 does not answer [x](http://example.org): see to it."
    app = open_page("quarantine")
    assert "Airflow does not answer, and has not answered since this dashboard started" in read_text(app)
    assert r"Airflow at http\://airflow\:8080 does not answer \[x\]" in read_text(app).replace("\u2060", "")
    assert count_figures(app) == 2


def test_a_redrive_starts_after_a_confirmation_and_shows_the_id_of_its_run(fakes, airflow):
    fakes.quarantine = {"BAD_DATE": 1234, "BAD_EMAIL": 9}
    app = open_page("quarantine")
    assert "start" not in list_button_keys(app)
    app.button(key="redrive").click().run()
    assert airflow.started == []
    assert "**1,234 open records** with this reason" in read_text(app)
    app.selectbox(key="redrive reason").select("BAD_EMAIL")
    app.button(key="start").click().run()
    assert not app.exception
    assert airflow.started == [
        ("redrive_quarantine", {"reason": "BAD_EMAIL"}, "Started from the dashboard by ann@example.com.")
    ]
    assert (
        r"The run manual\_\_2 of redrive\_quarantine was started\: 9 open records with reason BAD\_EMAIL\."
        in read_text(app)
    )
    assert "start" not in list_button_keys(app)


def test_a_second_click_on_a_confirmation_that_was_answered_starts_nothing(airflow, monkeypatch):
    monkeypatch.setattr(st, "session_state", {redrive.CONFIRMING: True, redrive.REASON: "BAD_EMAIL"})
    redrive.start_redrive({"BAD_EMAIL": 9})
    redrive.start_redrive({"BAD_EMAIL": 9})
    assert len(airflow.started) == 1


def test_a_redrive_that_airflow_denies_is_an_error_message_without_markup(airflow):
    app = open_page("quarantine")
    app.button(key="redrive").click().run()
    airflow.error = "Airflow did not [start](http://example.org) it."
    app.button(key="start").click().run()
    assert r"Airflow did not \[start\]\(http\://example\.org\) it\." in [
        error.value.replace("\u2060", "") for error in app.error
    ]
    assert not app.success


@pytest.mark.usefixtures("airflow")
def test_an_empty_quarantine_has_nothing_to_redrive(fakes):
    fakes.quarantine = {}
    assert open_page("quarantine").button(key="redrive").disabled


@pytest.mark.usefixtures("airflow")
def test_a_visitor_who_is_no_operator_is_offered_no_redrive(monkeypatch):
    monkeypatch.setattr(auth, "may_redrive", lambda: False)
    app = open_page("quarantine")
    assert list_button_keys(app) == set()
    assert "Only operators can start a re-drive" in read_text(app)
    assert get_table(app, "run_id") is not None


def test_a_visitor_who_loses_the_role_while_the_confirmation_is_open_starts_nothing(airflow, monkeypatch):
    app = open_page("quarantine")
    app.button(key="redrive").click().run()
    monkeypatch.setattr(auth, "may_redrive", lambda: False)
    app.button(key="start").click().run()
    assert airflow.started == []
    assert r"No run was started\: you are no longer an operator\." in read_text(app)
