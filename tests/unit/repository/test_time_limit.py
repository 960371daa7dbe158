"""A run of the tests that lasts too long skips what it has not begun, and says so."""

import os
import subprocess
import sys
import time
from contextlib import nullcontext
from types import SimpleNamespace

import pytest

from tests.helpers import time_limit
from tests.helpers.support import REPOSITORY

SMALL = "tests/unit/test_text.py"


def run(end: float) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", SMALL],
        env=os.environ | {time_limit.END: str(end)},
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_tests_that_would_begin_too_late_are_skipped_with_the_reason() -> None:
    output = run(time.time() + time_limit.END_TO_END_SECONDS - 60)
    assert " passed" not in output
    assert "19 minutes were left until TESTS_END, and 20 are needed" in output


def test_tests_run_while_there_is_time() -> None:
    output = run(time.time() + time_limit.END_TO_END_SECONDS + 600)
    assert " skipped" not in output


@pytest.mark.parametrize(
    ("folder", "left", "runs"),
    [("e2e", 60, True), ("e2e", -60, False), ("integration", 60, False), ("fault", 3600, True)],
)
def test_the_end_to_end_tests_have_all_of_the_time(
    monkeypatch: pytest.MonkeyPatch, folder: str, left: int, runs: bool
) -> None:
    monkeypatch.setenv(time_limit.END, str(time.time() + left))
    item = SimpleNamespace(nodeid=f"tests/{folder}/test_any.py::test_any")
    with nullcontext() if runs else pytest.raises(pytest.skip.Exception):
        time_limit.pytest_runtest_setup(item)
