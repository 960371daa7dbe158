"""checkov finds nothing in the rendered profiles except what waivers.yaml names."""

import fnmatch
import json
import subprocess
from datetime import date
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml

from tests.helpers.chart.manifests import pods
from tests.helpers.chart.render import PROFILES, Rendered, render
from tests.helpers.chart.tools import checkov

WAIVERS = yaml.safe_load(Path(__file__).with_name("waivers.yaml").read_text())


class Finding(NamedTuple):
    profile: str
    check: str
    resource: str
    what: str

    def is_waived_by(self, waiver: dict[str, str]) -> bool:
        return self.check == waiver["check"] and fnmatch.fnmatch(self.resource, waiver["resources"])


def installed(rendered: Rendered) -> str:
    """Return the manifests in a namespace, with the pods that others create from them, unknown to checkov."""
    made = [
        {"apiVersion": "v1", "kind": "Pod", "metadata": pod.metadata | {"name": pod.owner}, "spec": pod.spec}
        for pod in pods(rendered)
        if pod.owner.startswith(("SparkApplication/", "ConfigMap/"))
    ]
    resources = [
        one | {"metadata": one["metadata"] | {"namespace": "insights"}} for one in [*rendered.resources, *made]
    ]
    text: str = yaml.dump_all(resources, Dumper=yaml.CSafeDumper)
    return text


@pytest.fixture(scope="module")
def findings(tmp_path_factory: pytest.TempPathFactory) -> list[Finding]:
    folder = tmp_path_factory.mktemp("rendered")
    for profile in PROFILES:
        (folder / f"{profile}.yaml").write_text(installed(render(profile)))
    command = [checkov(), "--directory", str(folder), "--framework", "kubernetes", "--skip-download"]
    done = subprocess.run([*command, "--compact", "--output", "json"], capture_output=True, text=True, check=False)
    report = json.loads(done.stdout)
    assert report["summary"]["passed"] > 100, done.stderr
    assert report["summary"]["parsing_errors"] == 0
    return [
        Finding(Path(one["file_path"]).stem, one["check_id"], one["resource"], one["check_name"])
        for one in report["results"]["failed_checks"]
    ]


def test_checkov_finds_nothing_that_is_not_waived(findings: list[Finding]) -> None:
    assert [one for one in findings if not any(one.is_waived_by(waiver) for waiver in WAIVERS)] == []


def test_every_waiver_is_still_needed_and_has_a_reason_and_a_date(findings: list[Finding]) -> None:
    for waiver in WAIVERS:
        assert any(one.is_waived_by(waiver) for one in findings), (
            f"{waiver['check']} is no longer found: remove its waiver"
        )
        assert len(waiver["reason"]) > 20
        assert isinstance(waiver["date"], date)
