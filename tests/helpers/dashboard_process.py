"""The dashboard in a process of its own."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from insights.local.http import is_answering
from insights.settings import StoreSettings, read_inherited_environment, to_environment
from tests.helpers.support import REPOSITORY, eventually, free_port


@contextmanager
def serving(stores: StoreSettings, log: Path, script: str = "dashboard/app.py", **environment: str) -> Iterator[str]:
    """The address of the pages on these stores; what the process says goes to `log`."""
    names, port = to_environment(stores.postgres, stores.kafka, stores.cassandra), free_port()
    with process(log, port, names | environment, "--server.address=127.0.0.1", script=script):
        yield f"http://127.0.0.1:{port}"


@contextmanager
def process(
    log: Path, port: int, environment: dict[str, str], *arguments: str, script: str = "dashboard/app.py"
) -> Iterator[None]:
    """Streamlit with the script, once it is healthy; what it says is added to `log`."""
    command = [sys.executable, "-m", "streamlit", "run", script, "--server.port", str(port), *arguments]
    with log.open("ab") as said:
        streamlit = subprocess.Popen(
            command, cwd=REPOSITORY, stdout=said, stderr=said, env=read_inherited_environment() | environment
        )
    try:
        eventually(lambda: _healthy(port), 60, "the dashboard did not start")
        yield
    finally:
        streamlit.terminate()
        streamlit.wait(20)


def _healthy(port: int) -> bool:
    try:
        return is_answering(f"http://127.0.0.1:{port}/_stcore/health")
    except OSError:
        return False
