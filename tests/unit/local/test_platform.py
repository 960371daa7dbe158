import urllib.error
from pathlib import Path

import pytest

from insights.errors import UserError
from insights.local import airflow
from insights.local.configuration import Configuration, DemoOptions
from insights.local.platform import Platform
from insights.local.postgres import PostgresServer
from insights.local.runner import Runner
from insights.settings import LocalSettings, load


@pytest.fixture
def platform(tmp_path):
    settings = load(LocalSettings).model_copy(update={"home": tmp_path / "home"})
    made = Platform(settings, DemoOptions())
    made._configuration = Configuration(settings, DemoOptions(), Path("/jdk/bin/java"))
    made._runner = Runner([], lambda _: None)
    return made


@pytest.mark.parametrize(
    ("state", "busy"), [("queued", True), ("running", True), ("up_for_retry", True), ("success", False)]
)
def test_the_ingest_is_busy_until_its_latest_run_has_ended(platform, monkeypatch, state, busy):
    monkeypatch.setattr(airflow, "read_run_state", lambda *_: state)
    assert platform.ingesting() is busy


def test_the_ingest_counts_as_busy_while_airflow_is_out_of_reach(platform, monkeypatch):
    def away(*_):
        raise urllib.error.URLError("connection refused")

    monkeypatch.setattr(airflow, "read_run_state", away)
    assert platform.ingesting()


def test_a_failed_ingest_names_the_dag_and_the_page(platform, monkeypatch):
    monkeypatch.setattr(airflow, "read_run_state", lambda *_: "failed")
    with pytest.raises(UserError, match=r"The run of ingest_users failed: its log on Airflow's page, http://127"):
        platform.ingesting()


def test_a_component_that_was_given_up_ends_the_wait_for_the_ingest(platform, monkeypatch):
    monkeypatch.setattr(airflow, "read_run_state", lambda *_: "running")
    platform._runner._failure = UserError("stream ended 6 times")
    with pytest.raises(UserError, match="stream ended 6 times"):
        platform.ingesting()


def test_an_initdb_that_dies_without_a_word_is_told_and_its_password_file_is_gone(tmp_path, monkeypatch):
    server = PostgresServer(tmp_path, 1)
    server.state.mkdir()
    monkeypatch.setattr("insights.local.postgres._program", lambda _: Path("/bin/false"))
    with pytest.raises(UserError, match=r"initdb failed in .*data\.new: exit code 1"):
        server.prepare()
    assert sorted(path.name for path in server.state.iterdir()) == ["data.new", "password"]
