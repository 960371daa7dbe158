"""How `make push` calls docker, and what it reports when it cannot push.

docker is a stand-in that records its calls.
"""

import os
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.helpers.support import REPOSITORY

CHART = REPOSITORY / "charts" / "user-insights"
NAMES = ("airflow", "publisher", "spark", "dashboard")
STAND_IN = """#!/bin/bash
echo "docker $*" >>"$STATE/calls"
if [ -e "$STATE/refused" ] && [[ $* =~ $(cat "$STATE/refused") ]]; then echo "denied" >&2; exit 1; fi
case $* in
  "image inspect"*) echo 123000000 ;;
  "push --quiet "*) echo "$3" ;;
esac
"""


class Machine:
    """A PATH that begins with the stand-in, and the calls that it recorded."""

    def __init__(self, state: Path) -> None:
        self.state = state
        (state / "docker").write_text(STAND_IN)
        (state / "docker").chmod(0o755)

    def push(self, **variables: str) -> subprocess.CompletedProcess[str]:
        environment = {"PATH": f"{self.state}:{os.environ['PATH']}", "STATE": str(self.state)}
        command = ["make", "push", *(f"{name}={value}" for name, value in variables.items())]
        return subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False)

    def calls(self, pattern: str) -> list[str]:
        file = self.state / "calls"
        calls = file.read_text().splitlines() if file.exists() else []
        return [found[1] for call in calls if (found := re.search(pattern, call))]


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


@pytest.mark.parametrize("registry", ["registry.test:5000/team", "registry.test:5000/team/"])
def test_every_image_is_built_tagged_for_the_registry_and_pushed(machine: Machine, registry: str) -> None:
    done = machine.push(REGISTRY=registry, TAG="v9")
    assert done.returncode == 0, done.stderr
    local = [f"user-insights/{name}:v9" for name in NAMES]
    remote = [f"registry.test:5000/team/{name}" for name in local]
    assert machine.calls(r"^docker build .* -t (\S+)") == local
    assert machine.calls(r"^docker tag (.*)") == [" ".join(pair) for pair in zip(local, remote, strict=True)]
    assert machine.calls(r"^docker push --quiet (.*)") == remote
    verbs = machine.calls(r"^docker (build|tag|push)")
    assert verbs == ["build"] * len(NAMES) + ["tag", "push"] * len(NAMES)


def test_the_last_line_has_the_values_that_the_chart_needs(machine: Machine) -> None:
    lines = machine.push(REGISTRY="registry.test/team/", TAG="v9").stdout.splitlines()
    assert lines[-5:] == [
        *(f"registry.test/team/user-insights/{name}:v9" for name in NAMES),
        "Install them with --set images.registry=registry.test/team --set images.tag=v9",
    ]


def test_the_default_tag_is_the_one_that_the_chart_pulls(machine: Machine) -> None:
    machine.push(REGISTRY="registry.test")
    images = yaml.safe_load((CHART / "values.yaml").read_text())["images"]
    tag = yaml.safe_load((CHART / "Chart.yaml").read_text())["appVersion"]
    pulled = [f"registry.test/{images[name]['repository']}:{tag}" for name in NAMES]
    assert machine.calls(r"^docker push --quiet (.*)") == pulled


def test_the_spark_image_can_include_the_object_store(machine: Machine) -> None:
    machine.push(REGISTRY="registry.test", EXTRA_JARS="object-store", LOGS="s3")
    assert machine.calls(r"^docker build .*EXTRA_JARS=object-store .*-t (\S+):") == ["user-insights/spark"]
    assert machine.calls(r"^docker build .*LOGS=s3 .*-t (\S+):") == ["user-insights/airflow"]


def test_without_a_registry_it_asks_for_one_and_builds_nothing(machine: Machine) -> None:
    done = machine.push()
    assert done.returncode != 0
    assert machine.calls("(.*)") == []
    assert re.fullmatch(
        r"Makefile:\d+: \*\*\* REGISTRY is not set: name the registry to push to, "
        r"as in `make push REGISTRY=registry\.example\.org/team`\.  Stop\.\n",
        done.stderr,
    )


def test_a_denied_push_ends_the_run_with_the_registry_s_message(machine: Machine) -> None:
    (machine.state / "refused").write_text("push .*publisher")
    done = machine.push(REGISTRY="registry.test")
    assert done.returncode != 0
    assert done.stderr.startswith("denied\n")
    assert machine.calls(r"^docker push .*user-insights/(\w+):") == ["airflow", "publisher"]
    assert "Install them" not in done.stdout
