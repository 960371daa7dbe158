"""Machines that `scripts/setup` rejects before it changes anything."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.helpers.support import REPOSITORY

SETUP = REPOSITORY / "scripts" / "setup"


@pytest.mark.parametrize(
    ("program", "behaviour", "sentence"),
    [
        (
            ["uname"],
            "echo Darwin",
            "error: This is Darwin, but the servers run on Linux only: use a Linux machine",
        ),
        (["python3.11", "python3", "python"], "exit 1", "error: Python 3.11 was not found on PATH: install it"),
    ],
)
def test_an_unsupported_machine_is_reported_in_one_sentence(
    tmp_path: Path, program: list[str], behaviour: str, sentence: str
) -> None:
    for name in program:
        (tmp_path / name).write_text(f"#!/bin/sh\n{behaviour}\n")
        (tmp_path / name).chmod(0o755)
    path = f"{tmp_path}:{os.environ['PATH']}"
    done = subprocess.run(
        [SETUP], env={"PATH": path, "HOME": str(tmp_path)}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr.startswith(sentence)
    assert done.stderr.count("\n") == 1
