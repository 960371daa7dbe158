"""The benchmark of the ingest compares like with like, and counts the CPU time of processes that have ended."""

import os
import subprocess
import sys

import pytest

from benchmarks import ingest
from benchmarks.common import rounds

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
        assert rounds.read_cpu_seconds(parent.pid) >= 0.3
    turn = rounds.measure(lambda: exec(BURN), {"own": os.getpid()})
    assert turn.cpu_seconds["own"] == pytest.approx(turn.cpu_seconds["client"], abs=0.1)


def test_the_result_has_the_rate_and_the_cost_of_each_process():
    turns = {name: [rounds.Turn(2.0, {"client": 1.0, "postgres": 0.5})] for name in (ingest.OWN, "copy")}
    lines = ingest.format_result({"records": 1000, "turns": turns}).splitlines()
    assert lines[0] == "1,000 records, 1 rounds (min median max)"
    expected = ["500"] * 3 + ["client"] + ["1000.0"] * 3 + ["postgres"] + ["500.0"] * 3
    assert [line.split() for line in lines[2:]] == [[ingest.OWN, *expected], ["copy", *expected]]
