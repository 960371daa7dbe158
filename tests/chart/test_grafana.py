"""The Grafana dashboards are those of their script, ask for metrics that exist, and are where Grafana looks."""

import json
import re

import pytest

from scripts.grafana_dashboards import DASHBOARDS, FOLDER, build_dashboard, main
from tests.helpers.chart.render import overlaid, render, values_of
from tests.helpers.support import REPOSITORY

METRICS = re.compile(r"insights_[a-z_]+?(?=(?:_bucket|_count|_sum)?\b)")
"""A histogram is documented by the name that its series begin with."""


@pytest.mark.parametrize("name", DASHBOARDS)
def test_a_dashboard_is_that_of_the_script(name: str) -> None:
    assert (FOLDER / f"{name}.json").read_text() == build_dashboard(name), "run `make chart-docs`"


def test_a_dashboard_that_is_out_of_date_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(DASHBOARDS, "flow", ("Another title", {}))
    with pytest.raises(SystemExit, match=r"flow\.json does not match"):
        main(["--check"])


@pytest.mark.parametrize("name", DASHBOARDS)
def test_every_metric_of_a_dashboard_is_documented(name: str) -> None:
    documented = set(METRICS.findall((REPOSITORY / "docs" / "operations.md").read_text()))
    assert set(METRICS.findall((FOLDER / f"{name}.json").read_text())) <= documented


def test_grafana_s_sidecar_finds_every_dashboard() -> None:
    monitored = render(overlaid(values_of("small"), {"monitoring": {"enabled": True}}))
    [config] = [one for one in monitored.of("ConfigMap") if one["metadata"]["name"].endswith("-grafana")]
    assert config["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert {name: json.loads(text) for name, text in config["data"].items()} == {
        f"insights-{name}.json": json.loads(build_dashboard(name)) for name in DASHBOARDS
    }
