"""The Grafana dashboards are those of their script, ask for metrics that exist, and are where Grafana looks."""

import json
import re

import pytest

from scripts.grafana_dashboards import DASHBOARDS, FOLDER, build_dashboard, main
from tests.helpers.chart.render import overlaid, render, values_of
from tests.helpers.recorded_metrics import STORES, read_names
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


def test_every_metric_of_airflow_was_sent_by_airflow() -> None:
    asked = set(re.findall(r"airflow_\w+", (FOLDER / "airflow.json").read_text()))
    assert asked
    assert asked <= read_names("airflow")


def test_every_metric_of_a_store_that_an_alert_asks_for_was_served_on_a_cluster() -> None:
    text = (FOLDER.parent / "alerts.yaml").read_text()
    asked = set(re.findall(r"\b(?:cnpg|barman|kafka|org_apache_cassandra)_\w+", text))
    assert asked
    assert asked <= {name for store in STORES for name in read_names(store)}


def test_prometheus_keeps_of_cassandra_what_a_query_asks_for() -> None:
    monitors = render(overlaid(values_of("kind"), {"monitoring": {"enabled": True}})).of("PodMonitor")
    [monitor] = [one for one in monitors if one["metadata"]["name"].endswith("-cassandra")]
    [[kept]] = [one["metricRelabelings"] for one in monitor["spec"]["podMetricsEndpoints"]]
    assert (kept["action"], kept["sourceLabels"]) == ("keep", ["__name__"])
    assert all(re.fullmatch(kept["regex"], name) for name in read_names("cassandra"))
    assert not re.fullmatch(kept["regex"], "org_apache_cassandra_metrics_table_read_latency_bucket")


def test_grafana_s_sidecar_finds_every_dashboard() -> None:
    monitored = render(overlaid(values_of("small"), {"monitoring": {"enabled": True}}))
    [config] = [one for one in monitored.of("ConfigMap") if one["metadata"]["name"].endswith("-grafana")]
    assert config["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert {name: json.loads(text) for name, text in config["data"].items()} == {
        f"insights-{name}.json": json.loads(build_dashboard(name)) for name in DASHBOARDS
    }
