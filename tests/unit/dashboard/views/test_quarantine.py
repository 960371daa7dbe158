"""What was refused, and its way back by a run of Airflow's DAG."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import streamlit as st

from dashboard import auth
from dashboard.components import redrive
from insights.clients import airflow as airflow_api
from insights.clients.airflow import DagRun
from insights.errors import UserError
from insights.model.reasons import Reason
from insights.queries import pipeline
from insights.settings import AirflowSettings
from tests.helpers.app_pages import HOSTILE, figures, metrics, opened, said, table
from tests.helpers.fake_stores import NOW
from tests.helpers.hostile_names import NAMES


class Airflow:
    """Runs that are listed, and those that were started; `error` is raised in place of an answer."""

    def __init__(self) -> None:
        self.runs = [
            DagRun("manual__1", "success", "manual", NOW, NOW + timedelta(seconds=4), {"reason": "BAD_EMAIL"}),
            DagRun(HOSTILE, "queued", "manual", None, None, {}),
        ]
        self.started: list[tuple[str, Mapping[str, Any], str]] = []
        self.error = ""

    def last_runs(self, settings: AirflowSettings, dag_id: str, limit: int) -> list[DagRun]:
        assert (settings.url, dag_id) == ("http://airflow:8080", "redrive_quarantine")
        self._maybe_fail()
        return self.runs[:limit]

    def trigger(self, _: AirflowSettings, dag_id: str, conf: Mapping[str, Any], note: str) -> str:
        self._maybe_fail()
        self.started.append((dag_id, conf, note))
        return "manual__2"

    def _maybe_fail(self) -> None:
        if self.error:
            raise UserError(self.error)


@pytest.fixture
def airflow(monkeypatch: pytest.MonkeyPatch) -> Airflow:
    """An Airflow that the dashboard knows, and a visitor who is an operator."""
    fake = Airflow()
    monkeypatch.setenv("INSIGHTS_AIRFLOW_URL", "http://airflow:8080")
    monkeypatch.setattr(airflow_api, "list_last_runs", fake.last_runs)
    monkeypatch.setattr(airflow_api, "trigger_run", fake.trigger)
    monkeypatch.setattr(auth, "get_visitor", lambda: "ann@example.com")
    monkeypatch.setattr(auth, "may_redrive", lambda: True)
    return fake


def buttons(app) -> set[str]:
    return {button.key for button in app.button}


def test_quarantine_shows_reasons_over_time_and_samples():
    app = opened("quarantine")
    assert metrics(app) == {"Records in quarantine": "25", "Reasons": "1", "Refused in 7 days": "25"}
    assert figures(app) == 2
    row = table(app, "origin").to_dict("records")[0]
    assert (row["field"], row["detail"], row["origin"]) == ("email", HOSTILE, "users.raw/0/1")


def test_the_rule_of_the_chosen_reason_is_told(fakes):
    fakes.quarantine = {"BAD_DATE": 3, "BAD_EMAIL": 9, "NEW_REASON": 1}
    app = opened("quarantine")
    assert "- `email`: The value is not an e-mail address." in said(app)
    app.selectbox(key="reason").select("BAD_DATE").run()
    assert "- `dob`, `registered`: The value is not a date in UTC." in said(app)
    assert "`email`" not in said(app)
    app.selectbox(key="reason").select("NEW_REASON").run()
    assert "No rule of this version has this reason" in said(app)
    assert not app.exception


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_has_a_rule_that_can_be_told(fakes, reason):
    fakes.quarantine = {str(reason): 1}
    assert "Rules with this reason" in said(opened("quarantine"))


def test_a_reason_that_was_resolved_while_it_was_chosen_gives_way_to_another(fakes):
    fakes.quarantine = {"BAD_DATE": 3, "BAD_EMAIL": 9}
    app = opened("quarantine")
    app.selectbox(key="reason").select("BAD_DATE").run()
    fakes.quarantine = {"BAD_EMAIL": 9}
    app.run()
    assert not app.exception
    assert app.selectbox(key="reason").value == "BAD_EMAIL"


def test_hours_are_added_up_by_day(fakes):
    midnight = NOW.replace(hour=0, minute=0, second=0, microsecond=0)
    fakes.refusals = [pipeline.HourlyRejections(midnight + timedelta(hours=hour), "SCHEMA", 2) for hour in (1, 5)]
    app = opened("quarantine")
    assert '"y":[2,2]' in app.get("plotly_chart")[0].proto.spec.replace(" ", "")
    app.button_group(key="bars").select("day").run()
    assert '"y":[4]' in app.get("plotly_chart")[0].proto.spec.replace(" ", "")


@pytest.mark.parametrize(("hours_ago", "begins_ago"), [(0, 11), (3, 11), (30, 30), (24 * 8, 24 * 7 - 1)])
def test_the_hours_begin_with_the_first_refusal(fakes, hours_ago, begins_ago):
    hour = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    fakes.refusals = [pipeline.HourlyRejections(hour - timedelta(hours=hours_ago), "SCHEMA", 2)]
    axis = json.loads(opened("quarantine").get("plotly_chart")[0].proto.spec)["layout"]["xaxis"]
    begin, end = (datetime.fromisoformat(f"{instant}+00:00") for instant in axis["range"])
    assert (end - begin) // timedelta(hours=1) == begins_ago + 1


def test_two_hundred_hostile_details_are_cells_and_nothing_else(monkeypatch):
    def refused(_: object, reason: str, limit: int) -> list[pipeline.QuarantineSample]:
        assert limit >= 50
        return [pipeline.QuarantineSample(NOW, reason, name, name, name, 0, 9) for name in NAMES]

    monkeypatch.setattr(pipeline, "list_quarantine_samples", refused)
    app = opened("quarantine")
    cells = table(app, "origin")
    assert list(cells["detail"]) == list(cells["field"]) == list(cells["origin"]) == list(NAMES)
    assert "owned" not in said(app)
    assert "example.org" not in said(app)


def test_an_empty_quarantine_is_good_news(fakes):
    fakes.quarantine, fakes.refusals = {}, []
    app = opened("quarantine")
    assert app.success[0].value == "No record is in quarantine."
    assert figures(app) == 0


def test_refusals_that_were_resolved_are_shown_while_nothing_is_open(fakes):
    fakes.quarantine = {}
    app = opened("quarantine")
    assert app.success[0].value == "No record is in quarantine."
    assert figures(app) == 1
    assert metrics(app)["Refused in 7 days"] == "25"


def test_quarantine_without_postgresql_says_so(fakes):
    fakes.down = {"PostgreSQL"}
    assert "PostgreSQL does not answer" in said(opened("quarantine"))


def test_a_dashboard_that_knows_no_airflow_says_how_to_redrive(monkeypatch):
    monkeypatch.delenv("INSIGHTS_AIRFLOW_URL", raising=False)
    app = opened("quarantine")
    assert "This dashboard knows no Airflow: start the DAG redrive_quarantine there by hand" in said(app)
    assert "redrive" not in buttons(app)


def test_an_address_of_airflow_that_cannot_be_used_is_a_sentence_beside_the_rest(monkeypatch):
    monkeypatch.setenv("INSIGHTS_AIRFLOW_URL", "airflow")
    app = opened("quarantine")
    assert r"INSIGHTS\_AIRFLOW\_URL is 'airflow'" in app.error[0].value
    assert figures(app) == 2


@pytest.mark.usefixtures("airflow")
def test_the_last_redrives_are_listed_with_their_reason_and_state():
    first, second = table(opened("quarantine"), "run_id").to_dict("records")
    assert (first["run_id"], first["reason"], first["state"], first["seconds"]) == (
        "manual__1",
        "BAD_EMAIL",
        "succeeded",
        4.0,
    )
    assert (second["run_id"], second["reason"], second["state"]) == (HOSTILE, "every", "queued")


def test_before_the_first_redrive_that_is_said(airflow):
    airflow.runs = []
    assert "There was no re-drive yet" in said(opened("quarantine"))


def test_an_airflow_that_is_away_says_why_and_leaves_the_rest(airflow):
    airflow.error = "Airflow at http://airflow:8080 does not answer [x](http://example.org): see to it."
    app = opened("quarantine")
    assert "Airflow does not answer, and has not since this dashboard started" in said(app)
    assert r"Airflow at http\://airflow\:8080 does not answer \[x\]" in said(app).replace("\u2060", "")
    assert figures(app) == 2


def test_a_redrive_starts_after_a_confirmation_and_says_the_runs_id(fakes, airflow):
    fakes.quarantine = {"BAD_DATE": 1234, "BAD_EMAIL": 9}
    app = opened("quarantine")
    assert "start" not in buttons(app)
    app.button(key="redrive").click().run()
    assert airflow.started == []
    assert "**1,234** open records of this reason" in said(app)
    app.selectbox(key="redrive reason").select("BAD_EMAIL")
    app.button(key="start").click().run()
    assert not app.exception
    assert airflow.started == [
        ("redrive_quarantine", {"reason": "BAD_EMAIL"}, "Started on the dashboard by ann@example.com.")
    ]
    assert r"The run manual\_\_2 of redrive\_quarantine was started\: 9 open records of BAD\_EMAIL\." in said(app)
    assert "start" not in buttons(app)


def test_a_second_click_on_a_confirmation_that_was_answered_starts_nothing(airflow, monkeypatch):
    monkeypatch.setattr(st, "session_state", {redrive.ASKED: True, redrive.CHOSEN: "BAD_EMAIL"})
    redrive.start_redrive({"BAD_EMAIL": 9})
    redrive.start_redrive({"BAD_EMAIL": 9})
    assert len(airflow.started) == 1


def test_a_redrive_that_airflow_refuses_is_a_sentence_without_markup(airflow):
    app = opened("quarantine")
    app.button(key="redrive").click().run()
    airflow.error = "Airflow did not [start](http://example.org) it."
    app.button(key="start").click().run()
    assert r"Airflow did not \[start\]\(http\://example\.org\) it\." in [
        error.value.replace("\u2060", "") for error in app.error
    ]
    assert not app.success


@pytest.mark.usefixtures("airflow")
def test_nothing_in_quarantine_is_nothing_to_redrive(fakes):
    fakes.quarantine = {}
    assert opened("quarantine").button(key="redrive").disabled


@pytest.mark.usefixtures("airflow")
def test_who_is_no_operator_is_offered_no_redrive(monkeypatch):
    monkeypatch.setattr(auth, "may_redrive", lambda: False)
    app = opened("quarantine")
    assert buttons(app) == set()
    assert "Starting one takes an operator" in said(app)
    assert table(app, "run_id") is not None


def test_who_loses_the_role_while_the_confirmation_is_open_starts_nothing(airflow, monkeypatch):
    app = opened("quarantine")
    app.button(key="redrive").click().run()
    monkeypatch.setattr(auth, "may_redrive", lambda: False)
    app.button(key="start").click().run()
    assert airflow.started == []
    assert r"No run was started\: you are not an operator any more\." in said(app)
