"""The demo end to end: the first batch, the pages, a second start, everything killed."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from insights.clients.airflow import list_last_runs
from insights.local.http import request_json
from tests.helpers.browser import open_url
from tests.helpers.demo_platform import Demo
from tests.helpers.page_walk import visit_every_page
from tests.helpers.support import eventually

FETCHED = "fetched"
"""The ledger's first hop."""


def test_one_batch_of_recorded_answers_closes_the_ledger_and_leaves_no_process(
    demo: Demo, first_batch: subprocess.Popen[bytes], recorded: Path
) -> None:
    log = demo.tail()
    assert first_batch.returncode == 0, log
    assert "Ledger closed" in log
    assert f"{len(_read_record_keys(recorded)):,} staged" in log
    assert demo.list_processes() == []


def test_a_second_start_keeps_every_record_and_repeats_none(running: Demo, recorded: Path) -> None:
    first_pages = "SELECT batch_id FROM staging.batches ORDER BY staged_at LIMIT 2"
    staged = running.query(f"SELECT count(*) FROM staging.user_keys WHERE batch_id IN ({first_pages})")
    assert staged == [(len(_read_record_keys(recorded)),)]
    running.ledger()


def test_a_second_demo_beside_the_first_ends_with_one_sentence(running: Demo) -> None:
    second = running.insights("demo")
    assert second.returncode != 0
    assert "Traceback" not in second.stderr
    assert len(second.stderr.strip().splitlines()) == 1
    assert str(running.home) in second.stderr


def test_the_pages_show_the_ledgers_counts(running: Demo, artifacts: Path) -> None:
    running.ledger()
    users = running.query("SELECT count(*) FROM analytics.users")[0][0]
    visit_every_page(running.address("dashboard")["url"], artifacts, "demo", f"{users:,}")


def test_prometheus_has_the_ledgers_counts_and_the_alerts(running: Demo) -> None:
    running.ledger()
    prometheus = f"{running.address('prometheus')['url']}/api/v1"

    def query(expression: str) -> list[Any]:
        found = request_json(f"{prometheus}/query?{urlencode({'query': expression})}")["data"]["result"]
        return [(one["metric"].get("pod"), one["value"][1]) for one in found]

    users = running.query("SELECT count(*) FROM analytics.users")[0][0]
    eventually(lambda: query('insights_flow_records{hop="served"}') == [("exporter", str(users))], 90, "no metrics")
    scraped = ("dashboard", "exporter", "publisher", "stream")
    assert sorted(query("up")) == [(name, "1") for name in scraped]
    [group] = request_json(f"{prometheus}/rules")["data"]["groups"]
    assert {rule["name"] for rule in group["rules"]} >= {"UserInsightsLedgerBroken", "UserInsightsDataStale"}
    assert not [rule for rule in group["rules"] if rule["health"] == "err"]


def test_a_redrive_confirmed_on_the_page_runs_the_dag_and_loses_no_record(running: Demo, artifacts: Path) -> None:
    running.ledger()
    redriven = "SELECT count(*) FROM quarantine.records WHERE reason = 'MISSING_ID' AND redrives = 1"
    waiting = running.query(
        "SELECT count(DISTINCT event_id) FROM quarantine.records WHERE reason = 'MISSING_ID' AND resolved_at IS NULL"
    )[0][0]
    assert running.query(redriven) == [(0,)]
    with open_url(running.address("dashboard")["url"]) as (page, complaints):
        page.get_by_test_id("stSidebarNav").get_by_role("link", name="Quarantine").click()
        page.get_by_role("button", name="Re-drive ...").click()
        page.get_by_role("dialog").get_by_text(re.compile(rf"{waiting:,} open records? with this reason")).wait_for()
        page.screenshot(path=artifacts / "redrive.png")
        page.get_by_role("button", name="Start the run").click()
        message = page.get_by_text(re.compile(r"The run \S+ of redrive_quarantine was started")).first.inner_text()
        page.get_by_role("dialog").wait_for(state="detached")
    assert complaints.errors == []
    run_id = message.split()[2]
    airflow = running.airflow()

    def ended() -> bool:
        [run] = [run for run in list_last_runs(airflow, "redrive_quarantine", 5) if run.run_id == run_id]
        assert run.conf["reason"] == "MISSING_ID"
        assert run.state != "failed"
        return run.state == "success"

    eventually(ended, 240, f"{run_id} did not succeed", pause=1)
    eventually(lambda: running.query(redriven) == [(waiting,)], 120, "the records were not rejected again", pause=1)
    running.ledger()


def test_everything_killed_at_once_during_the_flow_loses_nothing(running: Demo) -> None:
    before, staged = running.fetched(), running.staged()
    running.ingest(pages=4, page_size=2500)
    eventually(lambda: running.staged() > staged, 120, "the run fetched nothing", pause=1)
    running.kill()
    eventually(lambda: not running.list_processes(), 60, "processes outlived the demo")
    running.start()
    eventually(lambda: running.hop(FETCHED) >= before + 10_000, 240, "the run was not resumed")


def test_ctrl_c_stops_everything_and_leaves_no_process(running: Demo) -> None:
    running.stop()
    assert "Traceback" not in running.tail()
    assert running.list_processes() == []


def _read_record_keys(recorded: Path) -> set[tuple[str, ...]]:
    """The keys of distinct recorded records: the uuid or, for API 1.0 and 1.1, which send none, the username."""
    answers = (json.loads(file.read_text()) for file in recorded.glob("*.json"))
    return {
        (uuid,) if (uuid := record["login"].get("uuid")) else (answer["info"]["version"], record["login"]["username"])
        for answer in answers
        for record in answer["results"]
    }
