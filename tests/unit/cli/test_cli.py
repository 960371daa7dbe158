"""The command line without servers: exit codes, errors and output."""

import json
import re
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from insights.cli import app
from insights.clients.component_states import ComponentState
from insights.errors import UserError
from insights.ledger import check as ledger_check
from insights.ledger.hops import Hop, Ledger, evaluate_hop
from insights.local.configuration import Address, DemoOptions
from insights.local.supervision import ComponentEvent
from insights.repair.replay import ReplayPeriod, ReplayPlan
from insights.settings import LocalSettings, PostgresSettings, StoreSettings

RUNNER = CliRunner()
CLOSED = evaluate_hop("served", "published = served", 2, 2, holds="2 published = 2 served.")
LOST = evaluate_hop("served", "published = served", 2, 1, missing=["17"], holds="")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("INSIGHTS_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def set_ledger(monkeypatch: pytest.MonkeyPatch, *hops: Hop) -> list[StoreSettings]:
    """Make the check return a ledger of these hops; the list collects the stores that it is called with."""
    checked: list[StoreSettings] = []

    def check(stores: StoreSettings, *_: object, **__: object) -> Ledger:
        checked.append(stores)
        return Ledger(hops, datetime(2026, 1, 1, tzinfo=UTC), 0.1)

    monkeypatch.setattr(ledger_check, "check_ledger", check)
    return checked


def test_check_exits_0_when_the_ledger_closes(monkeypatch: pytest.MonkeyPatch) -> None:
    set_ledger(monkeypatch, CLOSED)
    result = RUNNER.invoke(app, ["check"])
    assert result.exit_code == 0
    assert "Ledger closed" in result.output


def test_check_exits_1_and_names_the_hop_and_the_record(monkeypatch: pytest.MonkeyPatch) -> None:
    set_ledger(monkeypatch, CLOSED, LOST)
    result = RUNNER.invoke(app, ["check"])
    assert result.exit_code == 1
    assert "Missing: 17" in result.output


def test_check_says_what_a_hop_does_not_cover(monkeypatch: pytest.MonkeyPatch) -> None:
    set_ledger(monkeypatch, evaluate_hop("served", "a = b", 2, 2, holds="2 = 2.", uncovered="3 dropped rows"))
    result = RUNNER.invoke(app, ["check"])
    assert result.exit_code == 0
    assert "served: Not covered: 3 dropped rows." in result.output


@pytest.mark.parametrize(("options", "full"), [((), True), (("--full",), True), (("--incremental",), False)])
def test_check_is_full_unless_told_otherwise(
    monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...], full: bool
) -> None:
    asked: list[bool] = []

    def check(*_: object, full: bool, **__: object) -> Ledger:
        asked.append(full)
        return Ledger((CLOSED,), datetime(2026, 1, 1, tzinfo=UTC), 0.1)

    monkeypatch.setattr(ledger_check, "check_ledger", check)
    assert RUNNER.invoke(app, ["check", *options]).exit_code == 0
    assert asked == [full]


def test_check_prints_json_for_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    set_ledger(monkeypatch, LOST)
    result = RUNNER.invoke(app, ["check", "--json"])
    assert result.exit_code == 1
    assert json.loads(result.stdout)["hops"][0]["missing"] == ["17"]


def test_check_exits_2_with_a_sentence_when_it_cannot_check(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*_: object, **__: object) -> Ledger:
        raise UserError("PostgreSQL is out of reach; start it.")

    monkeypatch.setattr(ledger_check, "check_ledger", unreachable)
    result = RUNNER.invoke(app, ["check"])
    assert (result.exit_code, result.stderr) == (2, "error: PostgreSQL is out of reach; start it.\n")


def test_the_platform_that_was_started_here_is_found(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INSIGHTS_POSTGRES_HOST", "named.by.the.environment")
    monkeypatch.setenv("INSIGHTS_POSTGRES_PORT", "0")
    monkeypatch.delenv("INSIGHTS_POSTGRES_PORT")
    home.mkdir()
    environment = {"INSIGHTS_POSTGRES_PORT": "15432", "INSIGHTS_POSTGRES_HOST": "127.0.0.1", "PATH": "/nowhere"}
    (home / "platform.json").write_text(json.dumps({"environment": environment, "addresses": []}))
    checked = set_ledger(monkeypatch, CLOSED)
    RUNNER.invoke(app, ["check"])
    assert (checked[0].postgres.host, checked[0].postgres.port) == ("named.by.the.environment", 15432)


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
    assert "give an earlier --from" in result.stderr


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2026-01-01T00:00:00+05:45", datetime(2025, 12, 31, 18, 15, tzinfo=UTC)),
        ("2026-01-01 00:00:00.5-03:00", datetime(2026, 1, 1, 3, 0, 0, 500_000, tzinfo=UTC)),
        ("2026-01-01T00:00:00Z", datetime(2026, 1, 1, tzinfo=UTC)),
        ("2026-01-01T00:00:00", datetime(2026, 1, 1, tzinfo=UTC)),
        ("2026-01-01", datetime(2026, 1, 1, tzinfo=UTC)),
    ],
)
def test_the_offset_of_a_time_is_honoured(text: str, instant: datetime, monkeypatch: pytest.MonkeyPatch) -> None:
    periods: list[ReplayPeriod] = []

    def plan(_: PostgresSettings, period: ReplayPeriod) -> ReplayPlan:
        periods.append(period)
        return ReplayPlan({date(2026, 1, 1): 2}, left_out=1)

    monkeypatch.setattr("insights.cli.replay.plan_replay", plan)
    result = RUNNER.invoke(app, ["replay", "--from", text, "--to", "2027-01-01", "--dry-run"])
    assert result.exit_code == 0, result.output
    assert "2 records would be published again.\n1 record is left out" in result.output
    assert [(period.since, period.since.utcoffset()) for period in periods] == [(instant, timedelta(0))]


def test_a_replay_from_the_future_is_rejected() -> None:
    result = RUNNER.invoke(app, ["replay", "--from", "2999-01-01", "--to", "2999-01-02"])
    assert result.exit_code == 1
    assert "is in the future" in result.stderr


@pytest.mark.parametrize("text", ["yesterday", "01/02/2026", "2026-02-30", "0001-01-01T00:00:00+05:45", ""])
def test_a_time_that_is_not_iso_8601_is_named(text: str) -> None:
    result = RUNNER.invoke(app, ["replay", "--from", text, "--to", "2027-01-01"], env={"COLUMNS": "200"})
    assert result.exit_code == 2
    assert repr(text) in result.stderr
    assert "--from" in result.stderr


@pytest.mark.parametrize("patch", ["{", "[]", "1"])
def test_a_patch_that_is_not_an_object_is_rejected(patch: str) -> None:
    result = RUNNER.invoke(app, ["redrive", "--reason", "BAD_EMAIL", "--patch", patch])
    assert result.exit_code == 1
    assert "give" in result.stderr


def test_more_ids_than_the_limit_are_rejected() -> None:
    result = RUNNER.invoke(app, ["redrive", "--id", "1", "--id", "2", "--limit", "1"])
    assert result.exit_code == 1
    assert "--limit 1 is less than the 2 ids given" in result.stderr


def test_redrive_without_a_selection_is_rejected() -> None:
    result = RUNNER.invoke(app, ["redrive"])
    assert result.exit_code == 1
    assert "--reason" in result.stderr


@pytest.mark.usefixtures("platform")
def test_recorded_responses_need_the_simulator(tmp_path: Path) -> None:
    result = RUNNER.invoke(app, ["demo", "--source", "live", "--recorded", str(tmp_path)])
    assert result.exit_code == 1
    assert "--source live" in result.stderr


def test_down_reports_that_nothing_is_running() -> None:
    result = RUNNER.invoke(app, ["down"])
    assert result.exit_code == 0
    assert "No platform runs" in result.output


def test_reset_requires_confirmation_and_deletes_only_a_platform(home: Path) -> None:
    home.mkdir()
    (home / "mine.txt").write_text("kept")
    assert RUNNER.invoke(app, ["reset"], input="n\n").exit_code == 1
    failed = RUNNER.invoke(app, ["reset"], input="y\n")
    assert failed.exit_code == 1
    assert "holds no platform" in failed.stderr
    (home / "platform.lock").write_text("")
    assert RUNNER.invoke(app, ["reset"], input="y\n").exit_code == 0
    assert not home.exists()


class FakePlatform:
    """A platform that starts at once and ingests nothing; `latest` is the last instance."""

    latest: "FakePlatform"

    def __init__(self, settings: LocalSettings, options: DemoOptions) -> None:
        FakePlatform.latest = self
        self.settings, self.options, self.journal = settings, options, list[str]()

    def up(self, on_event: Callable[[ComponentEvent], None]) -> None:
        on_event(ComponentEvent("postgres", ComponentState.READY, 1.5))

    def is_ingesting(self) -> bool:
        return False

    def list_failures(self) -> list[str]:
        return []

    def addresses(self) -> list[Address]:
        return [Address("dashboard", "http://127.0.0.1:8501")]

    def wait(self) -> None:
        self.journal.append("waited")
        raise KeyboardInterrupt

    def down(self) -> None:
        self.journal.append("stopped")


@pytest.fixture
def platform(monkeypatch: pytest.MonkeyPatch) -> type[FakePlatform]:
    """`demo` and `up` with a fake platform; watching the first batch prints `watched` and returns 3."""
    monkeypatch.setattr("insights.local.platform.Platform", FakePlatform)
    monkeypatch.setattr("insights.cli.demo.watch_first_batch", lambda console, *_: console.print("watched") or 3)
    return FakePlatform


@pytest.mark.parametrize(
    ("arguments", "options"),
    [
        (["demo"], DemoOptions(False, None, again=False)),
        (["demo", "--once"], DemoOptions(False, None, again=True)),
        (["demo", "--source", "live"], DemoOptions(True, None, again=False)),
        (["up", "--source", "live"], DemoOptions(True, None, again=False)),
        (["up", "--recorded", "."], DemoOptions(False, Path("."), again=False)),
    ],
)
def test_options_reach_the_platform(platform: type[FakePlatform], arguments: list[str], options: DemoOptions) -> None:
    RUNNER.invoke(app, arguments)
    assert platform.latest.options == options


def test_demo_watches_the_first_batch_and_stays_up_until_ctrl_c(platform: type[FakePlatform]) -> None:
    result = RUNNER.invoke(app, ["demo"])
    assert result.exit_code == 0
    assert [
        word for word in ("watched", "8501", "Everything is running", "Stopping.") if word not in result.output
    ] == []
    assert platform.latest.journal == ["waited", "stopped"]


def test_up_does_not_watch_a_batch(platform: type[FakePlatform]) -> None:
    result = RUNNER.invoke(app, ["up"])
    assert result.exit_code == 0
    assert "watched" not in result.output
    assert platform.latest.journal == ["waited", "stopped"]


def test_demo_once_ends_with_the_first_batchs_exit_code(platform: type[FakePlatform]) -> None:
    result = RUNNER.invoke(app, ["demo", "--once"])
    assert result.exit_code == 3
    assert platform.latest.journal == ["stopped"]


@pytest.mark.parametrize(("arguments", "code", "journal"), [(["--once"], 1, []), ([], 0, ["waited"])])
def test_a_failed_first_batch_ends_demo_once_only(
    platform: type[FakePlatform], monkeypatch: pytest.MonkeyPatch, arguments: list[str], code: int, journal: list[str]
) -> None:
    def failed(*_: object) -> int:
        raise UserError("The run of ingest_users failed.")

    monkeypatch.setattr("insights.cli.demo.watch_first_batch", failed)
    result = RUNNER.invoke(app, ["demo", *arguments])
    assert result.exit_code == code
    assert "The run of ingest_users failed." in result.output
    assert platform.latest.journal == [*journal, "stopped"]


@pytest.mark.usefixtures("platform")
def test_recorded_responses_do_not_come_from_another_api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INSIGHTS_SOURCE_URL", "http://127.0.0.1:9/api/")
    result = RUNNER.invoke(app, ["demo", "--recorded", str(tmp_path)])
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
    assert "unset INSIGHTS_SOURCE_URL" in result.stderr


@pytest.mark.usefixtures("platform")
def test_a_malformed_source_url_is_rejected_before_anything_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INSIGHTS_SOURCE_URL", "randomuser.me/api")
    result = RUNNER.invoke(app, ["demo"])
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
    assert "INSIGHTS_SOURCE_URL is 'randomuser.me/api'" in result.stderr


@pytest.mark.parametrize(("servers", "port"), [("broker", 9092), ("one:19092,two:19093", 19092)])
def test_status_without_a_platform_shows_the_servers_that_the_environment_names(
    monkeypatch: pytest.MonkeyPatch, servers: str, port: int
) -> None:
    monkeypatch.setenv("INSIGHTS_KAFKA_BOOTSTRAP_SERVERS", servers)
    monkeypatch.setenv("INSIGHTS_POSTGRES_USER", "a[/b]:c:[red]")
    for store in ("POSTGRES", "KAFKA", "CASSANDRA"):
        monkeypatch.setenv(f"INSIGHTS_{store}_PASSWORD", "c4nary")
    monkeypatch.setattr("insights.cli.status._probe", lambda _: "down")
    listed = json.loads(RUNNER.invoke(app, ["status", "--json"]).stdout)["servers"]
    kafka = next(server for server in listed if server["name"] == "kafka")
    assert (kafka["host"], kafka["port"]) == (re.split("[:,]", servers)[0], port)
    output = RUNNER.invoke(app, ["status"]).output
    assert "a[/b]:c:[red]" in output
    assert "c4nary" not in output + json.dumps(listed)


def test_status_masks_a_key_in_the_url_of_the_api(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INSIGHTS_SOURCE_URL", "https://someone:c4nary@a.example/api/?key=c4nary")
    monkeypatch.setattr("insights.cli.status._probe", lambda _: "down")
    outputs = [RUNNER.invoke(app, ["status", *arguments]).output for arguments in ([], ["--json"])]
    assert all("https://a.example/api/?key=***" in output and "c4nary" not in output for output in outputs)
