"""The processes of Airflow's scheduler are told apart by their titles and by what has started them."""

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import psutil
import pytest

from tests.fault.read_stores import StoreAddresses
from tests.fault.victims import RunningPlatform
from tests.helpers.support import eventually

START = "import subprocess; subprocess.Popen([{!r}, '-c', {!r}], executable={!r}); input()"
TASK = "01a227bd-118c-7e0e-b553-ff2ad2595877"
BUSY, IDLE = f"airflow worker -- LocalExecutor: {TASK}", "airflow worker -- LocalExecutor: <idle>"


@dataclass
class FakeDemo:
    scheduler: int

    def pid(self, component: str) -> int:
        return self.scheduler if component == "airflow-scheduler" else 0


def nest(*titles: str) -> str:
    """A program that starts a process with the first title, which starts the next, and so on."""
    return START.format(titles[0], nest(*titles[1:]), sys.executable) if titles else "input()"


@pytest.fixture
def start_scheduler() -> Iterator[Any]:
    started: list[subprocess.Popen[bytes]] = []

    def start(*titles: str) -> tuple[RunningPlatform, dict[int, psutil.Process]]:
        scheduler = subprocess.Popen([sys.executable, "-c", nest(*titles)], stdin=subprocess.PIPE)
        started.append(scheduler)
        process = psutil.Process(scheduler.pid)
        eventually(lambda: len(process.children(recursive=True)) == len(titles), 10)
        parents = {child.pid: child for child in process.children(recursive=True)}
        eventually(lambda: {child.cmdline()[0] for child in parents.values()} == set(titles), 10)
        demo: Any = FakeDemo(scheduler.pid)
        return RunningPlatform(demo, StoreAddresses({}, {}, "", 0), lambda: 0, ""), parents

    yield start
    for scheduler in started:
        for process in (*psutil.Process(scheduler.pid).children(recursive=True), scheduler):
            process.kill()
        scheduler.wait()


def test_a_task_is_not_the_worker_that_runs_it(start_scheduler: Any) -> None:
    platform, processes = start_scheduler(BUSY, f"airflow worker -- {TASK}")
    worker, task = platform.find("airflow-busy-worker"), platform.find("airflow-task")
    assert processes[task].ppid() == worker
    assert platform.find("airflow-idle-worker") == 0


def test_a_task_that_has_the_title_of_its_worker_is_neither(start_scheduler: Any) -> None:
    platform, processes = start_scheduler(BUSY, BUSY)
    assert processes[platform.find("airflow-busy-worker")].ppid() not in processes
    assert platform.find("airflow-task") == 0


def test_a_worker_without_a_task_is_idle(start_scheduler: Any) -> None:
    platform, processes = start_scheduler(IDLE)
    assert platform.find("airflow-idle-worker") in processes
    assert (platform.find("airflow-busy-worker"), platform.find("airflow-task")) == (0, 0)
