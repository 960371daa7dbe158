"""The benchmark of the ingest counts the CPU time of processes that have ended."""

import os
import subprocess
import sys

import pytest

from benchmarks.common import processes, rounds

BURN = "import time\nwhile time.process_time() < 0.3: pass"
WAIT = f"""
import subprocess, sys
subprocess.run([sys.executable, "-c", {BURN!r}])
print(1, flush=True)
sys.stdin.read()
"""


def test_the_cpu_time_of_a_child_that_has_ended_counts():
    with subprocess.Popen([sys.executable, "-c", WAIT], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        parent.stdout.readline()
        assert processes.read_cpu_seconds(parent.pid) >= 0.3
    turn = rounds.measure(lambda: exec(BURN), {"own": os.getpid()})
    assert turn.cpu_seconds["own"] == pytest.approx(turn.cpu_seconds["client"], abs=0.1)
