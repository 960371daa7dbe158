"""The version is written in pyproject.toml; the charts, the images' tag and the change log follow it."""

import re
import subprocess
import tomllib

import pytest
import yaml

from tests.helpers.support import REPOSITORY

VERSION = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["version"]
CHARTS = sorted(path.parent.name for path in REPOSITORY.glob("charts/*/Chart.yaml"))


def chart(name: str) -> dict[str, object]:
    metadata: dict[str, object] = yaml.safe_load((REPOSITORY / "charts" / name / "Chart.yaml").read_text())
    return metadata


@pytest.mark.parametrize("name", CHARTS)
def test_a_chart_has_the_version_of_the_project(name: str) -> None:
    assert chart(name)["version"] == VERSION


def test_the_chart_installs_images_of_its_own_version_unless_a_value_names_another() -> None:
    assert chart("user-insights")["appVersion"] == VERSION
    values = yaml.safe_load((REPOSITORY / "charts" / "user-insights" / "values.yaml").read_text())
    assert values["images"]["tag"] == ""


def test_make_tags_images_with_the_version() -> None:
    command = ["make", "--silent", "--no-print-directory", "--eval=tag: ; @echo $(TAG)", "tag"]
    result = subprocess.run(
        command, cwd=REPOSITORY, capture_output=True, text=True, check=True, env={"PATH": "/usr/bin:/bin"}
    )
    assert result.stdout.strip() == VERSION


def test_the_newest_release_of_the_change_log_is_the_version() -> None:
    headings = re.findall(r"^## \[(.+?)\]", (REPOSITORY / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert headings[:2] == ["Unreleased", VERSION]
