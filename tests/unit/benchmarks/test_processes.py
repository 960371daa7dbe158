"""The benchmark of the ingest counts the CPU time of processes that have ended."""

import subprocess
import sys

import pytest

from benchmarks.common import processes
from tests.helpers.support import REPOSITORY

BURN = "import time\nwhile time.process_time() < 0.3: pass"
WAIT = f"""
import subprocess, sys
subprocess.run([sys.executable, "-c", {BURN!r}])
print(1, flush=True)
sys.stdin.read()
"""

MEASURE = """
import os, time
from benchmarks.common.rounds import measure
def burn():
    end = time.process_time() + 0.3
    while time.process_time() < end: pass
seconds = measure(burn, {"own": os.getpid()}).cpu_seconds
print(seconds["own"], seconds["client"])
"""


def test_the_cpu_time_of_a_child_that_has_ended_counts():
    with subprocess.Popen([sys.executable, "-c", WAIT], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        parent.stdout.readline()
        assert processes.read_cpu_seconds(parent.pid) >= 0.3


def test_a_process_and_the_client_have_used_the_same_if_they_are_one():
    # In a process of its own: the one that runs the tests may have a JVM among its children.
    measured = subprocess.run([sys.executable, "-c", MEASURE], cwd=REPOSITORY, stdout=subprocess.PIPE, check=True)
    own, client = map(float, measured.stdout.split())
    assert own == pytest.approx(client, abs=0.1)
    assert own >= 0.2
