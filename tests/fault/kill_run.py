"""Carry out a plan of kills beside a flow of records, and measure how long each recovery takes."""

import contextlib
import json
import os
import signal
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

from tests.fault.kill_plan import PlannedKill
from tests.fault.victims import AIRFLOW_WORKERS, RunningPlatform, wait_recovered
from tests.helpers.demo_platform import Demo

FIND_SECONDS = {"airflow-task": 30, "airflow-busy-worker": 30}
"""How long to wait for a process of a kind, beside the default."""
DEFAULT_FIND_SECONDS = 10
RECOVERY_SECONDS = 300
"""How long a recovery may take from the last kill of the plan on: one kill after the other delays it."""


@dataclass(frozen=True)
class Recovery:
    """What became of a planned kill. `seconds` is None if what was hit did not recover."""

    kind: str
    signal: str
    at: float
    seconds: float | None


class KillRun:
    """The kills of a plan, one after the other, while the recoveries are awaited on other threads."""

    def __init__(self, platform: RunningPlatform) -> None:
        self._platform = platform
        self._started = self._last_kill = time.monotonic()
        self.absent: list[str] = []
        """The kinds of planned kills for which there was no process."""

    def carry_out(self, plan: list[PlannedKill]) -> list[Recovery]:
        """Kill by plan. Returns when everything has recovered, or has had `RECOVERY_SECONDS` since the last kill."""
        with ThreadPoolExecutor(max(1, len(plan))) as pool:
            recoveries: list[Future[Recovery]] = []
            for kill in plan:
                time.sleep(kill.gap)
                victim, main = self._find(kill.kind)
                if not victim or not send(victim, signal.SIGSTOP if kill.pause else signal.SIGKILL):
                    self.absent.append(kill.kind)
                    continue
                self._last_kill = time.monotonic()
                recoveries.append(pool.submit(self._await_recovery, kill, victim, main))
            return [recovery.result() for recovery in recoveries]

    def _find(self, kind: str) -> tuple[int, int]:
        """A process of this kind and the main one that it belongs to, 0 if there is none."""
        deadline = time.monotonic() + FIND_SECONDS.get(kind, DEFAULT_FIND_SECONDS)
        while time.monotonic() < deadline:
            main, victim = self._platform.find_main(kind), self._platform.find(kind)
            if victim and main == self._platform.find_main(kind):
                return victim, main
            time.sleep(0.1)
        return 0, 0

    def _await_recovery(self, kill: PlannedKill, victim: int, main: int) -> Recovery:
        at = time.monotonic() - self._started
        if kill.pause:
            time.sleep(kill.pause)
            send(victim, signal.SIGCONT)
        replaced = not kill.pause and (victim == main or kill.kind in ("stream-jvm", *AIRFLOW_WORKERS))
        seconds = wait_recovered(
            self._platform, kill.kind, main, replaced, lambda: time.monotonic() - self._last_kill > RECOVERY_SECONDS
        )
        return Recovery(kill.kind, "SIGSTOP" if kill.pause else "SIGKILL", round(at, 1), seconds and round(seconds, 1))


def send(pid: int, number: signal.Signals) -> bool:
    """Send a signal; returns false if the process has ended."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)
        return True
    return False


class Feeder:
    """Ingests on a thread, run after run, until `finish` is called and at least `records` are fetched."""

    def __init__(self, demo: Demo, pages: int, page_size: int, records: int) -> None:
        self._demo, self._pages, self._page_size, self._records = demo, pages, page_size, records
        self._thread = threading.Thread(target=self._feed, daemon=True)
        self._finishing = threading.Event()
        self.states: dict[str, str] = {}
        """The last known state of each run."""
        self.cleared: list[str] = []
        """The runs in which a task was killed more often than it is tried. They are cleared, as a user would do."""

    def start(self) -> None:
        self._thread.start()

    def finish(self, seconds: float) -> None:
        """Wait for the last run.

        Raises:
            AssertionError: the runs did not end within `seconds`.
        """
        self._finishing.set()
        self._thread.join(seconds)
        assert not self._thread.is_alive(), f"the ingest did not end: {self.states}"

    def _feed(self) -> None:
        fed = 0
        while fed < self._records or not self._finishing.is_set():
            try:
                run = self._demo.ingest(self._pages, self._page_size)
            except AssertionError:
                continue
            fed += self._pages * self._page_size
            self.states[run] = ""
            while self.states[run] != "success":
                time.sleep(0.5)
                self.states[run] = self._demo.run_state(run) or self.states[run]
                if self.states[run] == "failed":
                    with contextlib.suppress(AssertionError):
                        self._demo.clear_run(run)
                        self.cleared.append(run)


def summarise(recoveries: list[Recovery]) -> list[str]:
    """A table of the recoveries by kind and signal: their number, median and maximum in seconds."""
    groups: dict[tuple[str, str], list[float]] = {}
    for recovery in recoveries:
        seconds = float("inf") if recovery.seconds is None else recovery.seconds
        groups.setdefault((recovery.kind, recovery.signal), []).append(seconds)
    lines = [f"{'process':22} {'signal':8} {'times':>5} {'median s':>9} {'max s':>7}"]
    return lines + [
        f"{kind:22} {name:8} {len(seconds):5} {median(seconds):9.1f} {max(seconds):7.1f}"
        for (kind, name), seconds in sorted(groups.items())
    ]


def write_report(path: Path, seed: int, run: KillRun, recoveries: list[Recovery], **figures: object) -> None:
    """Write everything about a run as JSON."""
    path.parent.mkdir(exist_ok=True)
    report = {
        "seed": seed,
        **figures,
        "absent": run.absent,
        "recoveries": [asdict(recovery) for recovery in recoveries],
    }
    path.write_text(json.dumps(report, indent=1) + "\n")
