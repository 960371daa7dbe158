"""The client of Airflow's API against a server of our own that answers as Airflow does, or as something else does."""

import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import SecretStr

from insights.clients import airflow as airflow_api
from insights.clients.airflow import DagRun, list_last_runs, trigger_run
from insights.errors import UserError
from insights.settings import AirflowSettings, load
from tests.helpers.airflow_server import DAG, RUN, Airflow, Answer, serving
from tests.helpers.support import free_port


@pytest.fixture
def airflow() -> Iterator[Airflow]:
    airflow_api._tokens.clear()
    with serving() as fake:
        yield fake


def settings(airflow: Airflow, **changes: Any) -> AirflowSettings:
    return AirflowSettings(**{"url": airflow.address, "password": SecretStr("secret"), **changes})


def test_the_runs_come_as_airflow_lists_them(airflow: Airflow) -> None:
    ended = RUN | {
        "dag_run_id": "scheduled__0",
        "state": "success",
        "run_type": "scheduled",
        "start_date": None,
        "end_date": "2026-11-21T17:00:00Z",
        "conf": None,
    }
    airflow.runs.append(ended)
    assert list_last_runs(settings(airflow), DAG, 5) == [
        DagRun(
            "manual__1",
            "running",
            "manual",
            datetime(2026, 11, 21, 18, 0, 0, 123000, UTC),
            None,
            {"reason": "BAD_EMAIL"},
        ),
        DagRun("scheduled__0", "success", "scheduled", None, datetime(2026, 11, 21, 17, tzinfo=UTC), {}),
    ]
    assert airflow.seen[-1] == f"/api/v2/dags/{DAG}/dagRuns?limit=5&order_by=-run_after"


def test_a_run_is_started_now_with_its_configuration_and_told_by_its_id(airflow: Airflow) -> None:
    assert (
        trigger_run(settings(airflow, url=airflow.address + "/base/"), DAG, {"reason": "BAD_EMAIL"}, "by Ann")
        == "manual__2"
    )
    assert airflow.triggered == [{"logical_date": None, "conf": {"reason": "BAD_EMAIL"}, "note": "by Ann"}]


def test_one_login_serves_until_its_token_is_refused(airflow: Airflow) -> None:
    known = settings(airflow)
    for _ in range(3):
        list_last_runs(known, DAG, 1)
    assert airflow.logins == 1
    airflow.valid = "another"
    assert list_last_runs(known, DAG, 1)
    assert airflow.logins == 2


@pytest.mark.parametrize("refusal", [401, 403])
def test_a_start_with_an_old_token_is_made_once_after_a_new_login(airflow: Airflow, refusal: int) -> None:
    """Airflow answers 401 to a token that has expired, 403 to one that was signed with another key."""
    known = settings(airflow)
    list_last_runs(known, DAG, 1)
    airflow.valid, airflow.refusal = "another", refusal
    assert trigger_run(known, DAG, {}) == "manual__2"
    assert len(airflow.triggered) == 1
    assert airflow.logins == 2


def test_a_login_never_goes_with_the_request_for_another(airflow: Airflow, monkeypatch, tmp_path) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login someone password else\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    list_last_runs(settings(airflow), DAG, 1)
    assert airflow.authorizations == ["Bearer token 1"]


def test_a_refused_login_is_told_with_the_variables_and_without_the_password(airflow: Airflow) -> None:
    with pytest.raises(UserError) as told:
        list_last_runs(settings(airflow, password=SecretStr("hunter2")), DAG, 1)
    assert str(told.value) == (
        f"Airflow at {airflow.address} did not let 'dashboard' in: check INSIGHTS_AIRFLOW_USERNAME and"
        " INSIGHTS_AIRFLOW_PASSWORD."
    )
    assert told.value.__suppress_context__ or told.value.__context__ is None


def test_a_login_without_the_right_is_told(airflow: Airflow) -> None:
    airflow.may = False
    with pytest.raises(UserError, match="does not let 'dashboard' start runs of redrive_quarantine: give it a role"):
        trigger_run(settings(airflow), DAG, {})
    assert airflow.logins == 1


def test_a_dag_that_is_not_there_is_told(airflow: Airflow) -> None:
    with pytest.raises(UserError, match=f"Airflow at {airflow.address} has no DAG a%/b: it appears when it is parsed"):
        list_last_runs(settings(airflow), "a%/b", 1)
    assert airflow.seen[-1].startswith("/api/v2/dags/a%25%2Fb/dagRuns")


@pytest.mark.parametrize("place", ["/auth/token", f"/api/v2/dags/{DAG}/dagRuns"])
@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ((200, "<html>Welcome</html>"), "is not the API of an Airflow 3"),
        ((200, "[]"), "is not the API of an Airflow 3"),
        ((200, '{"dag_runs": [{"state": 1}]}'), "is not the API of an Airflow 3"),
        ((302, ""), "is not the API of an Airflow 3"),
        ((404, "<html>nothing here</html>"), "is not the API of an Airflow 3"),
        ((503, "<html>Bad Gateway</html>"), "it answered 503"),
        ((500, '{"detail": "Unknown   error\\n at x"}'), "it answered 500, Unknown error at x"),
    ],
)
def test_an_answer_that_cannot_be_used_is_one_sentence(airflow: Airflow, place: str, answer: Answer, said: str) -> None:
    airflow.broken[place] = lambda: answer
    for ask in (lambda: list_last_runs(settings(airflow), DAG, 1), lambda: trigger_run(settings(airflow), DAG, {})):
        with pytest.raises(UserError, match=said) as told:
            ask()
        assert airflow.address in str(told.value)
        assert "\n" not in str(told.value)
    assert "/elsewhere" not in airflow.seen


def test_what_airflow_says_of_a_refused_start_is_told_in_part(airflow: Airflow) -> None:
    airflow.broken[f"/api/v2/dags/{DAG}/dagRuns"] = lambda: (400, json.dumps({"detail": "no such param " + "x" * 900}))
    with pytest.raises(
        UserError, match="did not start runs of redrive_quarantine: it answered 400, no such param xx"
    ) as told:
        trigger_run(settings(airflow), DAG, {})
    assert len(str(told.value)) < 400


def test_an_airflow_that_is_late_is_told_and_that_the_run_may_have_begun(airflow: Airflow) -> None:
    list_last_runs(settings(airflow, timeout_seconds=0.2), DAG, 1)
    gate = threading.Event()
    airflow.broken[f"/api/v2/dags/{DAG}/dagRuns"] = lambda: (gate.wait(20), (200, "{}"))[1]
    try:
        with pytest.raises(
            UserError, match=r"did not answer in 0\.2 s when asked to list runs of redrive_quarantine: see"
        ):
            list_last_runs(settings(airflow, timeout_seconds=0.2), DAG, 1)
        with pytest.raises(
            UserError, match="to start runs of redrive_quarantine; the run may have been started all the"
        ):
            trigger_run(settings(airflow, timeout_seconds=0.2), DAG, {})
    finally:
        gate.set()


def test_an_airflow_that_is_away_is_told_by_its_address() -> None:
    url = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(UserError, match=f"Airflow at {url} does not answer .ConnectionError.: see that its API server"):
        trigger_run(AirflowSettings(url=url), DAG, {})


def test_an_airflow_that_is_not_known_is_never_asked() -> None:
    with pytest.raises(UserError, match="Airflow is not known here: set INSIGHTS_AIRFLOW_URL"):
        list_last_runs(AirflowSettings(), DAG, 1)


def test_an_address_without_a_scheme_is_refused_by_its_variable(monkeypatch) -> None:
    monkeypatch.setenv("INSIGHTS_AIRFLOW_URL", "localhost:8080")
    with pytest.raises(UserError, match="INSIGHTS_AIRFLOW_URL is 'localhost:8080'"):
        load(AirflowSettings)
