"""The targets, files and hooks that the documents for contributors name exist."""

import re

import pytest
import yaml

from tests.helpers.support import REPOSITORY

DOCUMENTS = ("CONTRIBUTING.md", "SECURITY.md", ".github/pull_request_template.md")
ROOTS = {path.name for path in REPOSITORY.iterdir()} | {".github"}

each_document = pytest.mark.parametrize("name", DOCUMENTS)


def code(name: str) -> list[str]:
    """Blocks and spans of code in a document."""
    text = (REPOSITORY / name).read_text()
    blocks = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    return blocks + re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL))


def paths(text: str) -> list[str]:
    """The words that begin like a path in the repository."""
    return [word for word in re.findall(r"[\w./*-]+", text) if "/" in word and word.split("/")[0] in ROOTS]


@each_document
def test_every_make_target_exists(name: str) -> None:
    targets = set(re.findall(r"^([a-z0-9-]+):", (REPOSITORY / "Makefile").read_text(), re.MULTILINE))
    named = {target for text in code(name) for target in re.findall(r"^make ([a-z0-9-]+)", text, re.MULTILINE)}
    assert named <= targets


@each_document
def test_every_path_exists(name: str) -> None:
    named = {path for text in code(name) for path in paths(text) if not path.startswith(".venv/")}
    assert {path for path in named if not list(REPOSITORY.glob(path.rstrip("/")))} == set()


@each_document
def test_every_link_leads_to_a_file(name: str) -> None:
    links = re.findall(r"\]\(((?!http)[^)#]+)", (REPOSITORY / name).read_text())
    assert [link for link in links if not (REPOSITORY / link).exists()] == []


def test_the_hooks_fetch_nothing_and_run_what_exists() -> None:
    config = yaml.safe_load((REPOSITORY / ".pre-commit-config.yaml").read_text())
    assert [repo["repo"] for repo in config["repos"]] == ["local"]
    for hook in config["repos"][0]["hooks"]:
        assert hook["language"] == "system"
        assert hook["entry"].startswith(".venv/bin/")
        assert [word for word in paths(hook["entry"]) if not (REPOSITORY / word).exists()] == []


def test_the_development_container_has_the_packages_that_ci_installs() -> None:
    dockerfile = (REPOSITORY / ".devcontainer" / "Dockerfile").read_text()
    packages = set(re.findall(r"packages\+=\((\S+)\)", (REPOSITORY / ".ci" / "run").read_text()))
    assert packages
    assert packages <= set(dockerfile.split())
