"""Prometheus on this machine, with those of the chart's alerts that need no cluster."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from insights.errors import UserError
from insights.local.services import REPOSITORY, HttpComponent

CHART = REPOSITORY / "charts" / "user-insights"
JOB = "demo/user-insights"
_OF_A_CLUSTER = "$namespace"
"""In the expressions of alerts on what Kubernetes reports."""
_RETENTION = ("--storage.tsdb.retention.time=15d", "--storage.tsdb.retention.size=1GB")


class PrometheusServer(HttpComponent):
    """Prometheus, which scrapes the components of this platform. `targets` are their ports by name."""

    name = "prometheus"
    variable = "INSIGHTS_PROMETHEUS_PORT"
    health = "/-/ready"

    def __init__(self, state_dir: Path, port: int, program: Path, targets: Mapping[str, int]) -> None:
        super().__init__(state_dir, port)
        self._program, self._targets = program, targets

    def prepare(self) -> None:
        targets = [{"targets": [f"127.0.0.1:{port}"], "labels": {"pod": name}} for name, port in self._targets.items()]
        self._write(
            "prometheus.yml",
            {
                "global": {"scrape_interval": "15s", "evaluation_interval": "15s"},
                "rule_files": ["alerts.yml"],
                "scrape_configs": [{"job_name": JOB, "static_configs": targets}],
            },
        )
        self._write("alerts.yml", {"groups": [{"name": "user-insights", "rules": list_rules()}]})

    def command(self) -> list[str]:
        configuration, data = self.state / "prometheus.yml", self.state / "data"
        address = f"--web.listen-address={self.host}:{self.port}"
        return [
            str(self._program),
            f"--config.file={configuration}",
            f"--storage.tsdb.path={data}",
            address,
            *_RETENTION,
        ]

    def _write(self, name: str, content: dict[str, Any]) -> None:
        # Prometheus reads YAML, of which JSON is a part.
        (self.state / name).write_text(json.dumps(content, indent=1))


def list_rules() -> list[dict[str, Any]]:
    """The chart's alerts on the platform's own metrics, with the thresholds of its default values."""
    thresholds = yaml.safe_load((CHART / "values.yaml").read_text())["monitoring"]["alerts"]
    replaced = {
        "$job": JOB,
        "$freshnessSeconds": str(60 * thresholds["freshnessMinutes"]),
        "$quarantinePercent": str(thresholds["quarantinePercent"]),
    }
    rules = []
    for alert in yaml.safe_load((CHART / "alerts.yaml").read_text()):
        expression = alert["expr"]
        if "part" in alert or _OF_A_CLUSTER in expression:
            continue
        for placeholder, value in replaced.items():
            expression = expression.replace(placeholder, value)
        rules.append(
            {
                "alert": alert["alert"],
                "expr": expression,
                "for": alert["for"],
                "labels": {"severity": alert["severity"]},
                "annotations": {
                    "summary": alert["summary"],
                    "runbook_url": str(REPOSITORY / "docs" / "runbooks" / f"{alert['alert']}.md"),
                },
            }
        )
    return rules


def find_prometheus() -> Path:
    """The program `prometheus` on PATH.

    Raises:
        UserError: there is none.
    """
    program = shutil.which("prometheus")
    if program is None:
        raise UserError(
            "Monitoring needs Prometheus, but there is no program `prometheus` on PATH: install it"
            " (Debian: apt install prometheus; macOS: brew install prometheus), or start without it."
        )
    return Path(program)
