"""The chart of the operators, without its dependencies, which are downloaded at installation."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.helpers.chart.render import HelmError, overlaid, render
from tests.helpers.support import REPOSITORY

OPERATORS = REPOSITORY / "charts" / "operators"
VALUES = yaml.safe_load((OPERATORS / "values.yaml").read_text())
DEPENDENCIES = yaml.safe_load((OPERATORS / "Chart.yaml").read_text())["dependencies"]
NAMESPACE = "insights-operators"
REJECTED: dict[str, tuple[dict[str, Any], str]] = {
    "a typo": ({"enabled": {"kafak": True}}, "additional properties 'kafak' not allowed"),
    "no namespace": ({"spark-operator": {"spark": {"jobNamespaces": []}}}, "minItems"),
    "other namespaces": (
        {"spark-operator": {"spark": {"jobNamespaces": ["b"]}}},
        "spark-operator.spark.jobNamespaces is b but cloudnative-pg.config.data.WATCH_NAMESPACE is user-insights",
    ),
    "K8ssandra without the operators' namespace": (
        {"k8ssandra-operator": {"global": {"watchNamespaces": ["user-insights"]}}},
        "k8ssandra-operator.global.watchNamespaces is user-insights: add insights-operators",
    ),
    "the plugin alone": (
        {"enabled": {"postgres": False, "postgresBackup": True}},
        "enabled.postgresBackup is true but enabled.postgres is false",
    ),
}


@pytest.fixture(scope="module")
def chart(tmp_path_factory: pytest.TempPathFactory) -> Path:
    copy = tmp_path_factory.mktemp("charts") / "operators"
    shutil.copytree(OPERATORS, copy, ignore=shutil.ignore_patterns("charts"))
    about = yaml.safe_load((copy / "Chart.yaml").read_text())
    del about["dependencies"]
    (copy / "Chart.yaml").write_text(yaml.safe_dump(about))
    return copy


def test_every_operator_is_pinned_and_has_a_switch_and_values() -> None:
    for dependency in DEPENDENCIES:
        section, switch = dependency["condition"].split(".")
        assert switch in VALUES[section]
        assert dependency["version"].replace(".", "").isdigit()
        assert dependency["name"] in VALUES


def test_the_backup_plugin_does_not_log_at_debug() -> None:
    """Its chart passes `--log-level=debug`; of a repeated flag, the last one counts."""
    assert VALUES["plugin-barman-cloud"]["additionalArgs"] == ["--log-level=info"]


def test_its_values_render(chart: Path) -> None:
    assert render({}, namespace=NAMESPACE, chart=chart).resources == ()


@pytest.mark.parametrize("case", REJECTED)
def test_values_that_cannot_work_are_rejected(chart: Path, case: str) -> None:
    values, says = REJECTED[case]
    with pytest.raises(HelmError, match=says):
        render(overlaid({}, values), namespace=NAMESPACE, chart=chart)


def test_the_operators_do_not_share_the_platforms_namespace(chart: Path) -> None:
    with pytest.raises(HelmError, match="the operators' own namespace"):
        render({}, namespace="user-insights", chart=chart)


def test_a_disabled_operator_may_watch_anything(chart: Path) -> None:
    values: dict[str, Any] = {"enabled": {"spark": False}, "spark-operator": {"spark": {"jobNamespaces": ["b"]}}}
    assert render(values, namespace=NAMESPACE, chart=chart).resources == ()
