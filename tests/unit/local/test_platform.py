import urllib.error
from pathlib import Path

import pytest

from insights.clients.component_states import ComponentState, ComponentStatus, read_states, write_states
from insights.errors import UserError
from insights.local import airflow
from insights.local.configuration import Configuration, DemoOptions
from insights.local.platform import Platform, _serialise
from insights.local.postgres import PostgresServer
from insights.local.runner import Runner
from insights.local.supervision import ComponentEvent
from insights.settings import LocalSettings, load


@pytest.fixture
def platform(tmp_path):
    settings = load(LocalSettings).model_copy(update={"home": tmp_path / "home"})
    instance = Platform(settings, DemoOptions())
    instance._configuration = Configuration(settings, DemoOptions(), Path("/jdk/bin/java"))
    instance._runner = Runner([], lambda _: None, 1.0)
    return instance


@pytest.mark.parametrize(
    ("state", "busy"), [("queued", True), ("running", True), ("up_for_retry", True), ("success", False)]
)
def test_the_ingest_is_busy_until_its_latest_run_has_ended(platform, monkeypatch, state, busy):
    monkeypatch.setattr(airflow, "read_run_state", lambda *_: state)
    assert platform.is_ingesting() is busy


def test_the_ingest_counts_as_busy_while_airflow_is_out_of_reach(platform, monkeypatch):
    def refuse(*_):
        raise urllib.error.URLError("connection refused")

    monkeypatch.setattr(airflow, "read_run_state", refuse)
    assert platform.is_ingesting()


def test_a_failed_ingest_names_the_dag_and_airflows_address(platform, monkeypatch):
    monkeypatch.setattr(airflow, "read_run_state", lambda *_: "failed")
    with pytest.raises(UserError, match=r"The run of ingest_users failed: see its log in Airflow, http://127"):
        platform.is_ingesting()


def test_a_component_that_keeps_failing_ends_the_wait_for_the_ingest(platform, monkeypatch):
    monkeypatch.setattr(airflow, "read_run_state", lambda *_: "running")
    monkeypatch.setattr(platform, "list_failures", lambda: ["stream failed 5 times"])
    with pytest.raises(UserError, match="stream failed 5 times"):
        platform.is_ingesting()


def test_the_components_last_states_are_kept_in_a_file_for_other_processes(tmp_path):
    shown: list[ComponentEvent] = []
    listener = _serialise(shown.append, tmp_path)
    assert read_states(tmp_path) == []
    for state, message in ((ComponentState.READY, ""), (ComponentState.FAILED, "stream failed 5 times: Ümläut")):
        listener(ComponentEvent("kafka", ComponentState.READY, 1.0))
        listener(ComponentEvent("stream", state, 0.0, message))
        assert read_states(tmp_path) == [
            ComponentStatus("kafka", ComponentState.READY, ""),
            ComponentStatus("stream", state, message),
        ]
    assert len(shown) == 4


def test_a_platform_that_stops_leaves_no_states_and_those_of_another_alone(tmp_path):
    settings = load(LocalSettings).model_copy(update={"home": tmp_path})
    running, refused = Platform(settings, DemoOptions()), Platform(settings, DemoOptions())
    running._lock.acquire()
    states = [ComponentStatus("kafka", ComponentState.STOPPED, "")]
    write_states(tmp_path, states)
    refused.down()
    assert read_states(tmp_path) == states
    running.down()
    assert read_states(tmp_path) == []


def test_an_initdb_that_fails_silently_is_reported_and_its_password_file_deleted(tmp_path, monkeypatch):
    server = PostgresServer(tmp_path, 1)
    server.state.mkdir()
    monkeypatch.setattr("insights.local.postgres._find_program", lambda _: Path("/bin/false"))
    with pytest.raises(UserError, match=r"initdb failed in .*data\.new: exit code 1"):
        server.prepare()
    assert sorted(path.name for path in server.state.iterdir()) == ["data.new", "password"]
