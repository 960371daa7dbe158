"""The command line without servers: exit codes, sentences, what it prints."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner

from insights import ledger
from insights.cli import app
from insights.errors import UserError
from insights.ledger import Ledger, Stores
from insights.ledger.hop import hop

RUNNER = CliRunner()
CLOSED = hop("served", "published = served", 2, 2, holds="2 published = 2 served.")
LOST = hop("served", "published = served", 2, 1, missing=["17"], holds="")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("INSIGHTS_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def answer(monkeypatch: pytest.MonkeyPatch, *hops: ledger.Hop) -> list[Stores]:
    """The ledger that the check finds; the list tells the stores it was asked about."""
    asked: list[Stores] = []

    def check(stores: Stores, _: float = 0) -> Ledger:
        asked.append(stores)
        return Ledger(hops, datetime(2026, 1, 1, tzinfo=UTC), 0.1)

    monkeypatch.setattr(ledger, "check", check)
    return asked


def test_check_exits_0_when_the_ledger_closes(monkeypatch: pytest.MonkeyPatch) -> None:
    answer(monkeypatch, CLOSED)
    result = RUNNER.invoke(app, ["check"])
    assert result.exit_code == 0
    assert "Ledger closed" in result.output


def test_check_exits_1_and_names_the_hop_and_the_record(monkeypatch: pytest.MonkeyPatch) -> None:
    answer(monkeypatch, CLOSED, LOST)
    result = RUNNER.invoke(app, ["check"])
    assert result.exit_code == 1
    assert "missing 17" in result.output


def test_check_prints_json_for_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    answer(monkeypatch, LOST)
    result = RUNNER.invoke(app, ["check", "--json"])
    assert result.exit_code == 1
    assert json.loads(result.stdout)["hops"][0]["missing"] == ["17"]


def test_check_exits_2_with_a_sentence_when_it_cannot_check(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*_: object) -> Ledger:
        raise UserError("PostgreSQL is out of reach; start it.")

    monkeypatch.setattr(ledger, "check", unreachable)
    result = RUNNER.invoke(app, ["check"])
    assert (result.exit_code, result.stderr) == (2, "PostgreSQL is out of reach; start it.\n")


def test_the_platform_that_was_started_here_is_found(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INSIGHTS_POSTGRES_HOST", "named.by.the.environment")
    monkeypatch.setenv("INSIGHTS_POSTGRES_PORT", "0")
    monkeypatch.delenv("INSIGHTS_POSTGRES_PORT")
    home.mkdir()
    environment = {"INSIGHTS_POSTGRES_PORT": "15432", "INSIGHTS_POSTGRES_HOST": "127.0.0.1", "PATH": "/nowhere"}
    (home / "platform.json").write_text(json.dumps({"environment": environment, "addresses": []}))
    asked = answer(monkeypatch, CLOSED)
    RUNNER.invoke(app, ["check"])
    assert (asked[0].postgres.host, asked[0].postgres.port) == ("named.by.the.environment", 15432)


def test_status_shows_addresses_logins_and_state(home: Path) -> None:
    home.mkdir()
    address = {"name": "postgres", "url": "", "host": "127.0.0.1", "port": 1, "database": "insights", "user": "u"}
    content = {"environment": {}, "addresses": [address | {"password": "a-rather-long-generated-password"}]}
    (home / "platform.json").write_text(json.dumps(content))
    result = RUNNER.invoke(app, ["status"])
    assert result.exit_code == 0
    assert "a-rather-long-generated-password" in result.output
    shown = json.loads(RUNNER.invoke(app, ["status", "--json"]).stdout)["servers"][0]
    assert (shown["state"], shown["port"]) == ("down", 1)


def test_a_users_mistake_is_one_sentence_on_stderr() -> None:
    result = RUNNER.invoke(app, ["replay", "--from", "2026-02-02", "--to", "2026-01-01"])
    assert result.exit_code == 1
    assert result.stderr.count("\n") == 1
    assert "give a period" in result.stderr


@pytest.mark.parametrize("patch", ["{", "[]", "1"])
def test_a_patch_that_is_no_object_is_refused(patch: str) -> None:
    result = RUNNER.invoke(app, ["redrive", "--reason", "BAD_EMAIL", "--patch", patch])
    assert result.exit_code == 1
    assert "give" in result.stderr


def test_redrive_without_a_selection_is_refused() -> None:
    result = RUNNER.invoke(app, ["redrive"])
    assert result.exit_code == 1
    assert "--reason" in result.stderr


def test_recorded_answers_need_the_simulator(tmp_path: Path) -> None:
    result = RUNNER.invoke(app, ["demo", "--source", "live", "--recorded", str(tmp_path)])
    assert result.exit_code == 1
    assert "--source live" in result.stderr


def test_down_says_when_nothing_runs() -> None:
    result = RUNNER.invoke(app, ["down"])
    assert result.exit_code == 0
    assert "No platform runs" in result.output


def test_reset_asks_first_and_deletes_only_a_platform(home: Path) -> None:
    home.mkdir()
    (home / "mine.txt").write_text("kept")
    assert RUNNER.invoke(app, ["reset"], input="n\n").exit_code == 1
    refused = RUNNER.invoke(app, ["reset"], input="y\n")
    assert refused.exit_code == 1
    assert "holds no platform" in refused.stderr
    (home / "platform.lock").write_text("")
    assert RUNNER.invoke(app, ["reset"], input="y\n").exit_code == 0
    assert not home.exists()
