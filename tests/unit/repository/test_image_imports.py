"""The programs of each image import only what the image's group of requirements installs."""

import subprocess
import sys

import pytest

from tests.helpers.support import REPOSITORY

VIEWS = [f"dashboard.views.{path.stem}" for path in (REPOSITORY / "dashboard" / "views").glob("[a-z]*.py")]
PROGRAMS = {
    "airflow": [
        *("insights.ingest.task", "insights.source", "insights.staging.load", "insights.staging.retention"),
        *("insights.ledger.check", "insights.repair.redrive", "insights.repair.replay", "insights.repair.retention"),
        "insights.repair.skip_lost",
    ],
    "publisher": ["jobs.publish_staged", "jobs.migrate"],
    "dashboard": ["dashboard.auth", *VIEWS],
}
"""Modules by image."""
ABSENT = {
    "airflow": ("phonenumbers", "pyarrow", "pyspark", "streamlit"),
    "publisher": ("phonenumbers", "pyarrow", "pyspark", "streamlit"),
    "dashboard": ("phonenumbers", "pyspark"),
}
"""Packages that an image does not have."""


@pytest.mark.parametrize(("image", "modules"), PROGRAMS.items(), ids=list(PROGRAMS))
def test_an_image_does_not_need_the_packages_of_another(image: str, modules: list[str]) -> None:
    required = (REPOSITORY / "requirements" / f"{image}.in").read_text().split()
    assert [name for name in ABSENT[image] if name in required] == []
    blocked = "".join(f"sys.modules[{name!r}] = None\n" for name in ABSENT[image])
    program = f"import sys\n{blocked}" + "".join(f"import {module}\n" for module in modules)
    done = subprocess.run([sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
