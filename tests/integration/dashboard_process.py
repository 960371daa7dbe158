"""The dashboard in a process of its own."""

import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from insights.ledger import Stores
from insights.settings import inherited_environment, variables
from tests.support import eventually, free_port

ROOT = Path(__file__).parents[2]


@contextmanager
def serving(stores: Stores, log: Path, script: str = "dashboard/Home.py", **environment: str) -> Iterator[str]:
    """The address of the pages on these stores; what the process says goes to `log`."""
    port = free_port()
    command = [sys.executable, "-m", "streamlit", "run", script, "--server.address", "127.0.0.1"]
    names = variables(stores.postgres, stores.kafka, stores.cassandra)
    with log.open("wb") as said:
        process = subprocess.Popen(
            [*command, "--server.port", str(port)], cwd=ROOT, stdout=said, stderr=said,
            env=inherited_environment() | names | environment,
        )  # fmt: skip
    try:
        eventually(lambda: _healthy(port), 60, "the dashboard did not start")
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(20)


def _healthy(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/_stcore/health", timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False
