"""A real Prometheus with the alerts of the chart, which scrapes processes on this machine."""

import json
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.helpers.chart.promtool import list_rules, write_rules
from tests.helpers.chart.render import overlaid, render, values_of
from tests.helpers.chart.tools import program
from tests.helpers.recorded_metrics import STORES
from tests.helpers.support import eventually, free_port

JOB = "default/insights-user-insights"
"""What the rules of the release `insights` in the namespace `default` select."""


@dataclass(frozen=True)
class Prometheus:
    """A running Prometheus."""

    url: str

    def list_firing(self) -> set[str]:
        """The names of the alerts that fire."""
        with urllib.request.urlopen(f"{self.url}/api/v1/alerts", timeout=10) as answer:
            alerts = json.load(answer)["data"]["alerts"]
        return {one["labels"]["alertname"] for one in alerts if one["state"] == "firing"}

    def has_data(self, query: str) -> bool:
        """Whether the query of a panel returns anything for the scraped job."""
        parameters = urllib.parse.urlencode({"query": query.replace("$job", JOB)})
        with urllib.request.urlopen(f"{self.url}/api/v1/query?{parameters}", timeout=10) as answer:
            return bool(json.load(answer)["data"]["result"])

    def list_traces(self, metric: str) -> set[str]:
        """The trace ids of the exemplars of a metric."""
        parameters = urllib.parse.urlencode({"query": metric, "start": 0, "end": time.time() + 60})
        with urllib.request.urlopen(f"{self.url}/api/v1/query_exemplars?{parameters}", timeout=10) as answer:
            found = json.load(answer)["data"]
        return {exemplar["labels"]["trace_id"] for series in found for exemplar in series["exemplars"]}

    def wait_until_firing(self, alert: str) -> None:
        eventually(lambda: alert in self.list_firing(), 60, f"{alert} does not fire")

    def wait_until_clear(self, alert: str) -> None:
        eventually(lambda: alert not in self.list_firing(), 60, f"{alert} does not clear")


@contextmanager
def run_prometheus(folder: Path, ports: Mapping[str, int], recorded: str = "") -> Iterator[Prometheus]:
    """Run Prometheus on the metrics of processes, by name, with the chart's alerts, which fire without delay.

    `recorded` is the address of what the stores' operators served, whose labels are kept.
    """
    rules = list_rules(render(overlaid(values_of("small"), {"monitoring": {"enabled": True}})))
    file = write_rules([rule | {"for": "0s"} for rule in rules], folder)
    targets = [{"targets": [f"127.0.0.1:{port}"], "labels": {"pod": name}} for name, port in ports.items()]
    jobs: list[dict[str, Any]] = [{"job_name": JOB, "static_configs": targets}] if targets else []
    for store in STORES if recorded else ():
        target = {"targets": [recorded.removeprefix("http://")]}
        job = {"job_name": f"{JOB}-{store}", "metrics_path": f"/{store}.txt", "static_configs": [target]}
        jobs.append(job | {"honor_labels": True})
    configuration = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": [file.name],
        "scrape_configs": jobs,
    }
    (folder / "prometheus.yaml").write_text(yaml.safe_dump(configuration))
    address = f"127.0.0.1:{free_port()}"
    command = [program("prometheus"), f"--config.file={folder / 'prometheus.yaml'}"]
    command += [f"--storage.tsdb.path={folder / 'data'}", f"--web.listen-address={address}", "--log.level=error"]
    command += ["--enable-feature=exemplar-storage"]
    with subprocess.Popen(command) as process:
        try:
            server = Prometheus(f"http://{address}")
            eventually(lambda: _answers(server), 60, "Prometheus does not answer")
            yield server
        finally:
            process.kill()


def _answers(server: Prometheus) -> bool:
    try:
        server.list_firing()
    except OSError:
        return False
    return True
