"""A failpoint kills its process in the window that the environment names, and does nothing otherwise."""

import os
import signal
import subprocess
import sys

import pytest

from tests.helpers.support import REPOSITORY

PROGRAM = """
from insights import failpoints
for window in ("merge.committed", "batch.marked", "merge.committed"):
    failpoints.reach(window)
    print(window, flush=True)
"""


def run_program(crash_at: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", PROGRAM],
        cwd=REPOSITORY,
        env=os.environ | {"CRASH_AT": crash_at},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("crash_at", "passed"),
    [
        ("merge.committed", []),
        ("merge.committed:1", []),
        ("batch.marked", ["merge.committed"]),
        ("merge.committed:2", ["merge.committed", "batch.marked"]),
    ],
)
def test_a_process_is_killed_when_it_reaches_the_window(crash_at: str, passed: list[str]) -> None:
    result = run_program(crash_at)
    assert result.returncode == -signal.SIGKILL
    assert result.stdout.split() == passed


@pytest.mark.parametrize("crash_at", ["", "recount.merged", "merge.committed:3"])
def test_a_process_that_does_not_reach_the_window_ends_normally(crash_at: str) -> None:
    result = run_program(crash_at)
    assert result.returncode == 0, result.stderr
    assert result.stdout.split() == ["merge.committed", "batch.marked", "merge.committed"]


@pytest.mark.parametrize("crash_at", ["merge", "merge.committed:x"])
def test_an_unknown_window_is_named(crash_at: str) -> None:
    result = run_program(crash_at)
    assert result.returncode == 1
    assert f"CRASH_AT is '{crash_at}': set it to a window of insights/failpoints.py" in result.stderr
