"""An Airflow with a home and a database of its own."""

import os
import subprocess
import sys
from pathlib import Path

from tests.helpers.support import REPOSITORY


def environment(home: Path, **more: str) -> dict[str, str]:
    """Of its processes, which know our DAGs."""
    return {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(REPOSITORY / "dags"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "PYTHONPATH": f"{REPOSITORY}:{REPOSITORY / 'dags'}",
        "PATH": os.environ["PATH"],
        **more,
    }


def run(environment: dict[str, str], *arguments: str) -> None:
    """Python with these arguments, to its good end."""
    done = subprocess.run([sys.executable, *arguments], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{arguments}: {done.stdout[-1000:]}{done.stderr[-3000:]}"
