"""The targets, files and versions that the workflows name agree with the rest of the repository."""

import re
import shlex
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.helpers.chart.tools import PROGRAMS
from tests.helpers.support import REPOSITORY

GITHUB = REPOSITORY / ".github"
WORKFLOWS = sorted(GITHUB.glob("workflows/*.yml"))
ACTIONS = sorted(GITHUB.glob("actions/*/action.yml"))
PINNED = re.compile(r"^[\w.-]+/[\w.-]+@[0-9a-f]{40}$")

each_workflow = pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
each_file = pytest.mark.parametrize("path", [*WORKFLOWS, *ACTIONS], ids=lambda path: path.parent.name + "/" + path.stem)


@cache
def load(path: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(path.read_text())
    return loaded


def steps(*paths: Path) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Each step with its job; the steps of an action have no job."""
    for path in paths:
        content = load(path)
        for job in content.get("jobs", {}).values():
            yield from ((job, step) for step in job["steps"])
        yield from (({}, step) for step in content.get("runs", {}).get("steps", []))


def commands(path: Path) -> str:
    return "\n".join(step["run"] for _, step in steps(path) if "run" in step)


def inputs(name: str) -> list[Any]:
    """The values of an input in all steps."""
    return [step["with"][name] for _, step in steps(*WORKFLOWS, *ACTIONS) if name in step.get("with", {})]


def test_there_are_workflows_for_pull_requests_and_releases() -> None:
    assert [path.stem for path in WORKFLOWS] == ["pull-request", "release"]


@each_file
def test_every_make_target_exists(path: Path) -> None:
    targets = set(re.findall(r"^([a-z0-9-]+):", (REPOSITORY / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"\bmake ([a-z0-9-]+)", commands(path))) <= targets


@each_file
def test_every_path_in_a_command_exists(path: Path) -> None:
    paths = {word for word in words(commands(path)) if is_path(word)} - {"notes.md"}
    assert {word for word in paths if not (REPOSITORY / word).exists()} == set()


def words(script: str) -> list[str]:
    return shlex.split(script.replace("\\\n", " ").replace(">", " "))


def is_path(word: str) -> bool:
    """Whether the word is a relative path: no variable, address, absolute path, path in .venv or Go package."""
    if re.search(r"[$:@=~*]|^[/-]|^\.venv/", word):
        return False
    return "/" in word or word.endswith((".py", ".md", ".yaml", ".toml"))


@each_file
def test_every_file_that_an_input_names_exists(path: Path) -> None:
    for job, step in steps(path):
        if step.get("uses", "").startswith("./"):
            assert (REPOSITORY / step["uses"] / "action.yml").is_file()
        if "file" in step.get("with", {}):
            for row in job["strategy"]["matrix"]["include"]:
                assert (REPOSITORY / step["with"]["file"].replace("${{ matrix.image }}", row["image"])).is_file()
        for patterns in re.findall(r"hashFiles\((.*?)\)", str(step)):
            for pattern in re.findall(r"'([^']+)'", patterns):
                assert list(REPOSITORY.glob(pattern)), pattern


def test_a_release_builds_every_image_and_packages_every_chart() -> None:
    release = load(GITHUB / "workflows" / "release.yml")
    images = {row["image"] for row in release["jobs"]["image"]["strategy"]["matrix"]["include"]}
    assert images == {path.parent.name for path in REPOSITORY.glob("images/*/Dockerfile")}
    charts = {path.parent.name for path in REPOSITORY.glob("charts/*/Chart.yaml")}
    script = commands(GITHUB / "workflows" / "release.yml")
    assert set(re.findall(r"charts/([a-z-]+)", script)) == charts
    pushed = re.search(r"for chart in (.+); do", script)
    assert pushed is not None
    assert set(pushed[1].split()) == charts


def test_python_and_java_are_those_of_the_project() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    [lowest] = re.findall(r">=([\d.]+)", project["requires-python"])
    assert set(inputs("python-version")) == {lowest}
    [java] = set(inputs("java-version"))
    stated = re.search(r"Java (\d+) or (\d+)", (REPOSITORY / "README.md").read_text())
    assert stated is not None
    assert java in stated.groups()
    assert f"openjdk-{java}-jre" in (REPOSITORY / "images" / "spark" / "Dockerfile").read_text()


def test_the_programs_for_charts_and_cluster_have_the_versions_of_the_tests_and_scripts() -> None:
    script = commands(GITHUB / "workflows" / "pull-request.yml")
    kubeconform, version = PROGRAMS["kubeconform"]
    assert f"go install {kubeconform}@{version}\n" in script
    helms = [step["with"]["version"] for _, step in steps(*WORKFLOWS) if "setup-helm@" in step.get("uses", "")]
    assert set(helms) == {PROGRAMS["helm"][1]}
    kind = (REPOSITORY / "scripts" / "kind").read_text()
    assert inputs("kubectl_version") == re.findall(r"kindest/node:(v[\d.]+)@", kind)
    assert re.findall(r"traefik\.github\.io/charts --version ([\d.]+)", script) == re.findall(
        r"fetch traefik ([\d.]+) ", kind
    )


@each_file
def test_a_fork_needs_nothing_beside_the_repository(path: Path) -> None:
    assert "../" not in path.read_text()
    assert re.findall(r"\bsecrets\.", path.read_text()) == []


@each_file
def test_every_action_is_pinned_by_its_commit_and_says_its_version(path: Path) -> None:
    used = re.findall(r"uses: (\S+)(.*)", path.read_text())
    assert used
    for action, comment in used:
        assert action.startswith("./") or (PINNED.match(action) and re.fullmatch(r" # v\d+\.\d+\.\d+", comment)), action


def test_an_action_has_one_version() -> None:
    versions: dict[str, set[str]] = {}
    for _, step in steps(*WORKFLOWS, *ACTIONS):
        action, _, commit = step.get("uses", "").partition("@")
        versions.setdefault(action, set()).add(commit)
    assert {action: found for action, found in versions.items() if len(found) > 1} == {}


@each_workflow
def test_permissions_are_the_least_and_every_job_ends(path: Path) -> None:
    workflow = load(path)
    assert workflow["permissions"] in ({}, {"contents": "read"})
    assert workflow["concurrency"]["group"]
    for name, job in workflow["jobs"].items():
        assert 0 < job["timeout-minutes"] <= 120, name
        writes = {scope for scope, access in job.get("permissions", {}).items() if access == "write"}
        assert writes <= ({"contents"} if name == "draft" else {"packages", "id-token"}), name
    for _, step in steps(path):
        if "actions/checkout@" in step.get("uses", ""):
            assert step["with"]["persist-credentials"] is False


def test_a_pull_request_runs_every_level_of_tests() -> None:
    script = commands(GITHUB / "workflows" / "pull-request.yml")
    assert {f"make {target}" for target in ("check", "test-unit", "test-chart", "test-integration")} <= set(
        script.splitlines()
    )
    alone = [*REPOSITORY.glob("tests/e2e/test_*.py"), REPOSITORY / "tests" / "fault" / "test_kills.py"]
    assert sorted(re.findall(r"pytest (\S+)", script)) == sorted(str(test.relative_to(REPOSITORY)) for test in alone)
