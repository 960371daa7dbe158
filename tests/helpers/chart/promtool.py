"""promtool on the alerts of the chart: whether rules are valid, and which alerts fire on given series."""

import subprocess
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from tests.helpers.chart.render import Rendered
from tests.helpers.chart.tools import program


class Scenario(NamedTuple):
    """Series by their notation, with values a minute apart as promtool writes them, and when an alert fires.

    `fires` and `clears` are minutes: it does not fire before the first and has cleared by the second.
    """

    series: dict[str, str]
    fires: int
    clears: int


def list_rules(rendered: Rendered) -> list[dict[str, Any]]:
    """The rules of the chart's PrometheusRule."""
    [rule] = rendered.of("PrometheusRule")
    return [one for group in rule["spec"]["groups"] for one in group["rules"]]


def check(rendered: Rendered, folder: Path) -> str:
    """What promtool says about the rules; empty if they are valid."""
    return _find_fault("check", write_rules(list_rules(rendered), folder))


def find_wrong(rendered: Rendered, scenarios: dict[str, Scenario], folder: Path) -> str:
    """What promtool finds wrong about the scenario of each alert; empty if every alert fires and clears as told."""
    tests = []
    for alert, (series, fires, clears) in scenarios.items():
        firing = f'count(ALERTS{{alertname="{alert}", alertstate="firing"}}) or vector(0)'
        tests.append(
            {
                "name": alert,
                "interval": "1m",
                "input_series": [{"series": name, "values": values} for name, values in series.items()],
                "promql_expr_test": [
                    {"expr": firing, "eval_time": f"{minute}m", "exp_samples": [{"labels": "{}", "value": value}]}
                    for minute, value in ((fires - 1, 0), (fires, 1), (clears, 0))
                ],
            }
        )
    file = folder / "tests.yaml"
    rules = write_rules(list_rules(rendered), folder)
    file.write_text(yaml.safe_dump({"rule_files": [rules.name], "evaluation_interval": "1m", "tests": tests}))
    return _find_fault("test", file)


def write_rules(rules: list[dict[str, Any]], folder: Path) -> Path:
    """Write a file of rules for Prometheus."""
    file = folder / "rules.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "alerts", "rules": rules}]}))
    return file


def _find_fault(command: str, file: Path) -> str:
    done = subprocess.run(
        [program("promtool"), command, "rules", str(file)], capture_output=True, text=True, check=False
    )
    return done.stdout + done.stderr if done.returncode else ""
