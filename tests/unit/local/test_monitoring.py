import json

import pytest

from insights.errors import UserError
from insights.local.configuration import Configuration, DemoOptions
from insights.local.monitoring import JOB, PrometheusServer, find_prometheus, list_rules
from insights.local.platform import build_steps
from insights.settings import LocalSettings, load


@pytest.fixture
def configuration(tmp_path):
    settings = load(LocalSettings).model_copy(update={"home": tmp_path, "prometheus_port": 9999})
    return Configuration(settings, DemoOptions(prometheus=tmp_path / "prometheus"), tmp_path / "jdk/bin/java")


def test_prometheus_starts_with_the_exporter_after_what_it_scrapes(configuration):
    steps = {step.name: step for step in build_steps(configuration, 1, lambda: True)}
    assert steps["prometheus"].component is configuration.prometheus
    assert set(steps["prometheus"].after) == {"exporter", "publisher", "stream"}
    assert "http://127.0.0.1:9999" in [address.url for address in configuration.addresses() if address.url]


def test_without_a_program_neither_prometheus_nor_the_exporter_is_started(tmp_path):
    settings = load(LocalSettings).model_copy(update={"home": tmp_path})
    configuration = Configuration(settings, DemoOptions(), tmp_path / "jdk/bin/java")
    names = {step.name for step in build_steps(configuration, 1, lambda: True)}
    assert not names & {"prometheus", "exporter"}
    assert "prometheus" not in {address.name for address in configuration.addresses()}


def test_every_target_is_scraped_under_the_job_that_the_alerts_select(tmp_path):
    server = PrometheusServer(tmp_path, 9090, tmp_path / "prometheus", {"publisher": 1, "stream": 2})
    server.state.mkdir()
    server.prepare()
    [job] = json.loads((server.state / "prometheus.yml").read_text())["scrape_configs"]
    assert job["job_name"] == JOB
    assert [(one["targets"], one["labels"]["pod"]) for one in job["static_configs"]] == [
        (["127.0.0.1:1"], "publisher"),
        (["127.0.0.1:2"], "stream"),
    ]
    [group] = json.loads((server.state / "alerts.yml").read_text())["groups"]
    assert group["rules"] == list_rules()


def test_the_alerts_are_those_on_the_platforms_own_metrics():
    rules = {rule["alert"]: rule for rule in list_rules()}
    assert "UserInsightsLedgerBroken" in rules
    assert "UserInsightsCassandraNodeDown" not in rules
    assert "UserInsightsDiskFillingUp" not in rules
    assert rules["UserInsightsDataStale"]["expr"].endswith("> 1800")
    assert all(f'job="{JOB}"' in rule["expr"] for rule in rules.values())
    assert not any("$" in rule["expr"] for rule in rules.values())


def test_prometheus_is_looked_for_on_path(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="no program `prometheus` on PATH: install it"):
        find_prometheus()
    program = tmp_path / "prometheus"
    program.touch(mode=0o755)
    assert find_prometheus() == program
