"""How a process ends after an error, and what it logs."""

import subprocess
import sys

import pytest

from insights import entrypoint
from insights.errors import NotReadyError, UserError
from tests.helpers.support import REPOSITORY


@pytest.mark.parametrize("error", [UserError("No port: set one."), NotReadyError("No port: set one.")])
def test_a_users_mistake_is_exit_code_1_and_one_line(error: UserError, capsys: pytest.CaptureFixture[str]) -> None:
    def fail() -> None:
        raise error

    assert entrypoint.run(fail) == 1
    assert capsys.readouterr() == ("", "error: No port: set one.\n")


def test_work_that_ends_is_exit_code_0_whatever_it_returns() -> None:
    assert entrypoint.run(lambda: 3) == 0


def test_another_exception_keeps_its_traceback() -> None:
    with pytest.raises(ZeroDivisionError):
        entrypoint.run(lambda: 1 / 0)


def test_a_quiet_logger_logs_from_its_level_on() -> None:
    script = """
import logging
from insights import entrypoint
def work():
    for name in ("driver", "insights"):
        logging.getLogger(name).info("connected")
        logging.getLogger(name).warning("lost")
entrypoint.run(work, quiet={"driver": logging.WARNING})
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert [line.split(maxsplit=2)[2] for line in done.stderr.splitlines()] == [
        "WARNING driver: lost",
        "INFO insights: connected",
        "WARNING insights: lost",
    ]
