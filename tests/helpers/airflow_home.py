"""Run Airflow with a home directory and a database of its own."""

import os
import subprocess
import sys
from pathlib import Path

from tests.helpers.support import REPOSITORY


def make_environment(home: Path, **variables: str) -> dict[str, str]:
    """The environment of Airflow's processes, which load the project's DAGs."""
    return {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(REPOSITORY / "dags"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "PYTHONPATH": f"{REPOSITORY}:{REPOSITORY / 'dags'}",
        "PATH": os.environ["PATH"],
        **variables,
    }


def run_python(environment: dict[str, str], *arguments: str) -> None:
    """Run Python with these arguments; fail if it exits with an error."""
    completed = subprocess.run(
        [sys.executable, *arguments], env=environment, capture_output=True, text=True, check=False
    )
    assert completed.returncode == 0, f"{arguments}: {completed.stdout[-1000:]}{completed.stderr[-3000:]}"
