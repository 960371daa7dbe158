"""Run the dashboard in a process of its own."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from insights.environment import read_inherited_environment
from insights.local.http import is_answering
from insights.settings import StoreSettings, to_environment
from tests.helpers.support import REPOSITORY, eventually, free_port


@contextmanager
def run_dashboard(
    stores: StoreSettings, log: Path, script: str = "dashboard/serve.py", **environment: str
) -> Iterator[str]:
    """Run the dashboard on these stores; yields its address. The output of the process goes to `log`."""
    names, port = to_environment(stores.postgres, stores.kafka, stores.cassandra), free_port()
    names["INSIGHTS_HOME"] = str(log.parent / "no-platform")
    with run_streamlit(log, port, names | environment, "--server.address=127.0.0.1", script=script):
        yield f"http://127.0.0.1:{port}"


@contextmanager
def run_streamlit(
    log: Path, port: int, environment: dict[str, str], *arguments: str, script: str = "dashboard/serve.py"
) -> Iterator[None]:
    """Run Streamlit with the script; yields once it is healthy. Its output is appended to `log`."""
    command = [sys.executable, "-m", "streamlit", "run", script, "--server.port", str(port), *arguments]
    own = {"INSIGHTS_DASHBOARD_METRICS_PORT": str(free_port())}
    with log.open("ab") as output:
        streamlit = subprocess.Popen(
            command, cwd=REPOSITORY, stdout=output, stderr=output, env=read_inherited_environment() | own | environment
        )
    try:
        eventually(lambda: _is_healthy(port), 60, "the dashboard did not start")
        yield
    finally:
        streamlit.terminate()
        streamlit.wait(20)


def _is_healthy(port: int) -> bool:
    try:
        return is_answering(f"http://127.0.0.1:{port}/_stcore/health")
    except OSError:
        return False
