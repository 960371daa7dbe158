"""Kill and pause every process of the demo at random during the flow, and let the checker judge what is stored.

`SEED=number` repeats the plan of an earlier run, `KILLS=number` sets how many there are: by default one of each kind.
"""

import os
import random
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from insights.clients.airflow import list_last_runs
from insights.errors import UserError
from insights.local.runner import Runner, Step
from insights.local.services import SimulatorService
from tests.fault.checker import check, describe
from tests.fault.concurrent_reader import ConcurrentReader
from tests.fault.kill_plan import KINDS, plan_kills
from tests.fault.kill_run import Feeder, KillRun, summarise, write_report
from tests.fault.read_stores import StoreAddresses, read_stores
from tests.fault.recording_source import RecordingSource, serve_recorded
from tests.fault.victims import RunningPlatform
from tests.helpers.demo_platform import Demo
from tests.helpers.support import REPOSITORY, eventually, free_port

SEED = int(os.environ.get("SEED") or random.SystemRandom().randrange(10**6))
KILLS = int(os.environ.get("KILLS") or len(KINDS))
RECORDS = 50_000
PAGES, PAGE_SIZE = 2, 5000
PATIENCE_SECONDS = 240
INGEST_SECONDS = DELIVERY_SECONDS = 600
MAX_RUNS = 100
"""As many runs as one request to Airflow's API returns."""
REPORT = REPOSITORY / "artifacts" / "fault-kills.json"


@pytest.fixture(scope="module")
def simulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimulatorService]:
    """The simulator, which is not a part of a demo with a source of its own, under the product's runner."""
    service = SimulatorService(tmp_path_factory.mktemp("simulator"), free_port(), {"PYTHONPATH": str(REPOSITORY)})
    runner = Runner([Step("simulator", (), service)], lambda _: None, PATIENCE_SECONDS)
    runner.start()
    yield service
    runner.stop()


@pytest.fixture(scope="module")
def recorded(simulator: SimulatorService) -> Iterator[tuple[RecordingSource, str]]:
    with serve_recorded(simulator.url) as served:
        yield served


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory, recorded: tuple[RecordingSource, str]) -> Iterator[Demo]:
    demo = Demo(tmp_path_factory.mktemp("demo") / "home")
    demo.environment["INSIGHTS_SOURCE_URL"] = f"{recorded[1]}/api/1.4/"
    try:
        demo.start()
        yield demo
    finally:
        demo.stop()


@pytest.fixture
def stores(demo: Demo) -> StoreAddresses:
    postgres, kafka, cassandra = (demo.address(name) for name in ("postgres", "kafka", "cassandra"))
    return StoreAddresses(
        {
            "host": postgres["host"],
            "port": postgres["port"],
            "dbname": postgres["database"],
            "user": postgres["user"],
            "password": postgres["password"],
        },
        {"bootstrap.servers": f"{kafka['host']}:{kafka['port']}"},
        cassandra["host"],
        cassandra["port"],
    )


@pytest.mark.timeout(900 + 60 * KILLS)
def test_kills_during_the_flow_lose_double_and_garble_nothing(
    demo: Demo,
    stores: StoreAddresses,
    simulator: SimulatorService,
    recorded: tuple[RecordingSource, str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    with capsys.disabled():
        print(f"\nSEED={SEED} KILLS={KILLS}")
    demo.ledger()
    platform = RunningPlatform(demo, stores, lambda: simulator.pid if simulator.running else 0, simulator.url)
    run, feeder = KillRun(platform), Feeder(demo, PAGES, PAGE_SIZE, RECORDS)
    first_batch_ended = datetime.now(UTC)
    with ConcurrentReader(stores) as reader:
        feeder.start()
        eventually(lambda: feeder.states, 120, "the ingest did not start")
        plan = plan_kills(SEED, KILLS)
        recoveries = run.carry_out(plan[: KILLS // 2])
        replay(demo, first_batch_ended)
        recoveries += run.carry_out(plan[KILLS // 2 :])
        feeder.finish(INGEST_SECONDS)
        write_report(REPORT, SEED, run, recoveries)
        runs = wait_for_runs(demo)
        while True:
            demo.ledger(DELIVERY_SECONDS)
            state, counted = replace(read_stores(stores), served=dict(recorded[0].served)), runs
            if (runs := wait_for_runs(demo)) == counted:  # Otherwise, a run was due in the meantime.
                break
    asked = [re.split("[/?]", batch, maxsplit=2) for batch in state.served]
    state.awaited = {f"{seed}/{page}?{query}" for seed, _, query in asked for page in range(1, PAGES + 1)}
    write_report(REPORT, SEED, run, recoveries, staged=len(state.staged), messages=len(state.topic))
    with capsys.disabled():
        print("\n".join(summarise(recoveries)))
        print(f"{len(state.topic):,} messages; runs that failed and were cleared: {len(feeder.cleared)}")

    anomalies = reader.anomalies + check(state)
    assert not anomalies, f"SEED={SEED}{describe(anomalies)}"
    assert set(runs.values()) == {"success"}, f"SEED={SEED}: {runs}"
    if len(KINDS) >= KILLS:
        assert not feeder.cleared, f"SEED={SEED}: {feeder.cleared}"
    assert len({seed for seed, *_ in asked}) == len(runs)
    reads = {name: watch.reads for name, watch in reader.watches.items()}
    assert min(reads.values()) > KILLS, f"SEED={SEED}: {reads}"
    assert len(state.topic) >= RECORDS
    lost = [recovery for recovery in recoveries if recovery.seconds is None]
    assert not lost, f"SEED={SEED}: {lost}"


def wait_for_runs(demo: Demo) -> dict[str, str]:
    """Wait until no run of the ingest is active, scheduled ones included. Returns the state of each run."""

    def read_states() -> dict[str, str] | None:
        try:
            states = {run.run_id: run.state for run in list_last_runs(demo.airflow(), "ingest_users", MAX_RUNS)}
        except UserError:
            return None
        return states if set(states.values()) <= {"success", "failed"} else None

    states = eventually(read_states, INGEST_SECONDS, "a run of the ingest does not end", pause=1)
    assert states is not None
    return states


def replay(demo: Demo, until: datetime) -> None:
    """Publish the first batch again, so that its users get a newer version during the kills."""
    arguments = ("--from", (until - timedelta(days=1)).isoformat(), "--to", until.isoformat())
    eventually(lambda: demo.insights("replay", *arguments).returncode == 0, 180, "the replay failed", pause=1)
