"""The documents agree with the code on settings, ports, metrics, reasons, commands and files."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from pydantic import SecretStr
from pydantic_settings import BaseSettings

from dashboard import metrics as dashboard_metrics
from insights import settings
from insights.cli import app
from insights.exporter.metrics import FlowMetrics
from insights.model.reasons import Reason, Rule
from insights.publisher.metrics import PublisherMetrics
from insights.settings import LocalSettings
from insights.stream.metrics import StreamMetrics
from tests.helpers.support import REPOSITORY

OPERATIONS = (REPOSITORY / "docs" / "operations.md").read_text()
RULES = (REPOSITORY / "docs" / "rules.md").read_text()
README = (REPOSITORY / "README.md").read_text()
DOCUMENTS = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").rglob("*.md"))]
FOLDERS = "benchmarks|charts|dags|dashboard|docs|images|insights|jobs|requirements|scripts|tests"
MADE_BY_USERS = {"dashboard/.streamlit/secrets.toml"}
GROUPS = [
    kind
    for kind in vars(settings).values()
    if isinstance(kind, type) and issubclass(kind, BaseSettings) and kind is not BaseSettings
]
PORTS = {f"INSIGHTS_{name.upper()}" for name in LocalSettings.model_fields if name.endswith("_port")}


def rows(text: str, heading: str, level: str = "##") -> list[list[str]]:
    """The cells of every table row under a heading, without header lines."""
    section = re.split(rf"^{level} {re.escape(heading)}$", text, flags=re.MULTILINE)[1]
    section = re.split(rf"^{level} ", section, flags=re.MULTILINE)[0]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines() if line[:1] == "|"]
    return [row for row in cells if row[0].startswith("`") or "`" in "".join(row[1:])]


def described(groups: list[type[BaseSettings]]) -> Iterator[tuple[str, str]]:
    """Each variable of the groups and its default as text."""
    for group in groups:
        for name, field in group.model_fields.items():
            variable = field.validation_alias or group.model_config["env_prefix"] + name.upper()
            default = field.default.get_secret_value() if isinstance(field.default, SecretStr) else field.default
            yield str(variable), "" if default is None else str(default)


def test_every_setting_is_documented_with_its_default() -> None:
    documented = [(row[0].strip("`"), row[1].strip("`")) for row in rows(OPERATIONS, "Settings")]
    local = [pair for pair in described([LocalSettings]) if pair[0] not in PORTS]
    others = list(described([group for group in GROUPS if group is not LocalSettings]))
    assert sorted(documented) == sorted(local + others)
    assert all(row[2] for row in rows(OPERATIONS, "Settings"))


def test_every_port_is_documented_with_its_variable() -> None:
    documented = {row[2].strip("`"): row[1] for row in rows(OPERATIONS, "Ports")}
    assert documented == {name: value for name, value in described([LocalSettings]) if name in PORTS}


@pytest.mark.parametrize(
    ("prefix", "registry"),
    [
        ("publisher", PublisherMetrics().registry),
        ("stream", StreamMetrics().registry),
        ("flow", FlowMetrics().registry),
        ("dashboard", dashboard_metrics.REGISTRY),
    ],
)
def test_every_metric_is_documented_with_its_labels(prefix: str, registry: CollectorRegistry) -> None:
    documented = {row[0].strip("`") for row in rows(OPERATIONS, "Metrics") if f"insights_{prefix}_" in row[0]}
    assert documented == set(exported(registry, f"insights_{prefix}_"))


def exported(registry: CollectorRegistry, prefix: str) -> Iterator[str]:
    """Metric names as Prometheus stores them, with the names of their labels."""
    for collector in registry._collector_to_names:
        for metric in getattr(collector, "describe", collector.collect)():
            if metric.name.startswith(prefix):
                labels = ",".join(getattr(metric, "_labelnames", ()) or getattr(collector, "_labelnames", ()))
                name = metric.name + ("_total" if metric.type == "counter" else "")
                yield f"{name}{{{labels}}}" if labels else name


def test_every_rule_is_documented_in_the_order_and_in_the_words_of_the_catalogue() -> None:
    assert list(dict.fromkeys(rule.reason for rule in Rule)) == list(Reason)
    assert rows(RULES, "Rules that reject a record") == [
        [f"`{rule.reason}`", ", ".join(f"`{field}`" for field in rule.fields), rule.detail, rule.explanation]
        for rule in Rule
    ]


def test_the_readme_names_targets_commands_and_files_that_exist() -> None:
    targets = set(re.findall(r"^([a-z0-9-]+):", (REPOSITORY / "Makefile").read_text(), flags=re.MULTILINE))
    assert set(re.findall(r"^make ([a-z0-9-]+)", "\n".join(_code(README)), flags=re.MULTILINE)) <= targets
    commands = {command.name or command.callback.__name__ for command in app.registered_commands if command.callback}
    assert set(re.findall(r"^insights ([a-z]+)", "\n".join(_code(README)), flags=re.MULTILINE)) <= commands
    links = re.findall(r"\]\(((?!http)[^)#]+)\)", README)
    assert [link for link in links if not (REPOSITORY / link).exists()] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_a_document_names_files_that_exist(document: Path) -> None:
    text = _without_blocks(document.read_text())
    named = set(re.findall(rf"`((?:{FOLDERS})/[\w./-]*)`", text)) - MADE_BY_USERS
    assert [path for path in sorted(named) if not (REPOSITORY / path).exists()] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_a_document_links_to_files_and_headings_that_exist(document: Path) -> None:
    links = re.findall(r"\]\((?!http)([^)#]*)(?:#([^)]*))?\)", _without_blocks(document.read_text()))
    targets = [((document.parent / path) if path else document, anchor) for path, anchor in links]
    assert [str(path) for path, _ in targets if not path.exists()] == []
    assert [f"{path}#{anchor}" for path, anchor in targets if anchor and anchor not in _anchors(path)] == []


def test_every_page_of_the_dashboard_is_pictured_in_light_and_dark() -> None:
    shown = re.findall(r"!\[[^]]*\]\(([^)]+)\)", (REPOSITORY / "docs" / "dashboard.md").read_text())
    pages = sorted(file.stem for file in (REPOSITORY / "dashboard" / "views").glob("*.py"))
    assert sorted(shown) == [f"images/dashboard/{page}-{theme}.png" for page in pages for theme in ("dark", "light")]
    assert [picture for picture in shown if not (REPOSITORY / "docs" / picture).exists()] == []


def test_the_readme_names_the_default_ports() -> None:
    defaults = {int(value) for name, value in described([LocalSettings]) if name in PORTS}
    assert {int(port) for port in re.findall(r"(?:127\.0\.0\.1|`):(\d{4})\b", README)} <= defaults


def _without_blocks(text: str) -> str:
    return re.sub(r"```.*?```", "", text, flags=re.DOTALL)


def _anchors(document: Path) -> set[str]:
    """The anchors that GitHub gives to the headings of a document."""
    headings = re.findall(r"^#+ (.*)$", _without_blocks(document.read_text()), flags=re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def _code(text: str) -> list[str]:
    """The content of code blocks and code spans."""
    blocks = re.findall(r"```sh\n(.*?)```", text, flags=re.DOTALL)
    return blocks + re.findall(r"`([^`\n]+)`", _without_blocks(text))
