"""How `scripts/kind` calls docker, kind, kubectl and helm, and what it reports when one of them fails.

The programs are stand-ins that record their calls; the cluster is a folder.
"""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.helpers.support import REPOSITORY

SCRIPT = REPOSITORY / "scripts" / "kind"
PROGRAMS = ("docker", "kind", "kubectl", "helm", "make")
STAND_IN = """#!/bin/bash
call="${0##*/} $*"
echo "$call" >>"$STATE/calls"
if [ -s "$STATE/refused" ] && [[ $call =~ $(cat "$STATE/refused") ]]; then echo "it was refused" >&2; exit 1; fi
case $call in
  "docker image inspect"*) cat "$STATE/layers" ;;
  "kind get clusters") cat "$STATE/clusters" ;;
  "kind create cluster"*) echo "$4" >>"$STATE/clusters" ;;
  "helm dependency list"*)
    echo "NAME VERSION REPOSITORY STATUS"
    echo "strimzi 1.2.0 oci://quay.io/charts missing"
    echo "cnpg 0.29.0 https://cnpg.io/charts missing"
    echo ;;
  "helm show crds "*cnpg*) ;;
  "helm show crds "*) echo "definitions of ${3##*/}" ;;
  "helm pull"*) chart=${2##*/}; touch "${@: -1}/$chart-$(sed 's/.*--version \\([^ ]*\\).*/\\1/' <<<"$call").tgz" ;;
  "helm "*" upgrade --install "*) touch "$STATE/release-$5" ;;
  "helm "*" status "*) [ -e "$STATE/release-$4" ] ;;
  "kubectl "*" get ingressclass traefik") [ -e "$STATE/release-traefik" ] || [ -e "$STATE/foreign" ] ;;
  "kubectl "*" get crd "*) [ -e "$STATE/release-cert-manager" ] || [ -e "$STATE/foreign" ] ;;
  "kubectl "*" get secret "*) printf 'secret of the test' | base64 ;;
  "kubectl "*" apply --server-side "*) cat "${@: -1}" >>"$STATE/definitions" ;;
  "kubectl "*" apply "*) cat >"$STATE/applied" ;;
esac
"""


class Machine:
    """A folder with the script, the stand-ins and their recorded calls."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.state = home / "state"
        self.bin = home / "bin"
        for folder in (self.state, self.bin, home / "scripts"):
            folder.mkdir()
        shutil.copy(SCRIPT, home / "scripts" / "kind")
        for name in PROGRAMS:
            (self.bin / name).write_text(STAND_IN)
            (self.bin / name).chmod(0o755)
        for name in ("calls", "clusters", "refused"):
            (self.state / name).touch()
        (self.state / "layers").write_text("[sha256:one]")

    def run(self, *arguments: str, path: str | None = None) -> subprocess.CompletedProcess[str]:
        (self.state / "calls").write_text("")
        environment = {
            "PATH": path or f"{self.bin}:{os.environ['PATH']}",
            "HOME": str(self.home),
            "STATE": str(self.state),
        }
        command = [str(self.home / "scripts" / "kind"), *arguments]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    @property
    def calls(self) -> list[str]:
        return (self.state / "calls").read_text().splitlines()

    def matching(self, pattern: str) -> list[str]:
        return [call for call in self.calls if re.search(pattern, call)]

    def refuse(self, pattern: str) -> None:
        (self.state / "refused").write_text(pattern)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_the_stages_run_in_order(machine: Machine) -> None:
    done = machine.run("up")
    assert done.returncode == 0, done.stderr
    steps = (
        r"^kind create cluster --name user-insights --config kind-config.yaml --image kindest/node:v1\.35",
        r"^make .*images",
        r"^kind load docker-image user-insights/airflow:\w+ .* --name user-insights$",
        r"^helm pull traefik ",
        r"upgrade --install traefik ",
        r"^helm pull cert-manager ",
        r"upgrade --install cert-manager .*--wait",
        r"^helm pull oci://quay.io/charts/strimzi --version 1.2.0 --destination charts/operators/charts",
        r"^helm pull cnpg --repo https://cnpg.io/charts --version 0.29.0 --destination charts/operators/charts",
        r"^kubectl .* apply -f -$",
        r"^kubectl .* apply --server-side --force-conflicts -f ",
        r"upgrade --install operators charts/operators --namespace insights-operators .*--wait",
        r"upgrade --install insights charts/user-insights .*--values charts/user-insights/profiles/kind.yaml",
    )
    positions = [[index for index, call in enumerate(machine.calls) if re.search(step, call)] for step in steps]
    assert [len(found) for found in positions] == [1] * len(steps)
    assert positions == sorted(positions)
    assert '"pod-security.kubernetes.io/enforce": "restricted"' in (machine.state / "applied").read_text()


def test_definitions_are_upgraded_before_the_operators_which_helm_would_not_do(machine: Machine) -> None:
    assert machine.run("operators").returncode == 0
    assert (machine.state / "definitions").read_text() == "definitions of strimzi-1.2.0.tgz\n"
    machine.refuse("apply --server-side")
    done = machine.run("operators")
    assert done.returncode == 1
    assert "definitions of the operators failed" in done.stderr
    assert not machine.matching("upgrade --install operators")


def test_each_step_is_a_line_with_its_seconds_and_the_last_lines_are_addresses_and_login(machine: Machine) -> None:
    lines = machine.run("up").stdout.splitlines()
    steps = [re.sub(r" +\d+ s$", "", line) for line in lines if re.search(r" \d+ s$", line)]
    assert steps == [
        "cluster user-insights",
        "images",
        "images onto the node",
        "traefik",
        "cert-manager",
        "definitions of the operators",
        "operators",
        "insights",
    ]
    assert lines[-2:] == [
        "Dashboard  http://insights.localhost",
        "Airflow    http://airflow.localhost  admin / secret of the test",
    ]


def test_a_second_run_makes_no_cluster_downloads_nothing_and_upgrades(machine: Machine) -> None:
    machine.run("up")
    assert machine.run("up").returncode == 0
    assert machine.matching("create cluster|helm pull") == []
    upgraded = [call.split()[5] for call in machine.matching("upgrade --install")]
    assert upgraded == ["traefik", "cert-manager", "operators", "insights"]


def test_an_existing_ingress_controller_and_cert_manager_are_left_alone(machine: Machine) -> None:
    (machine.state / "foreign").touch()
    assert machine.run("up").returncode == 0
    assert [call.split()[5] for call in machine.matching("upgrade --install")] == ["operators", "insights"]
    assert machine.matching("helm pull (traefik|cert-manager)") == []


def test_an_older_chart_of_an_operator_is_replaced(machine: Machine) -> None:
    charts = machine.home / "charts" / "operators" / "charts"
    charts.mkdir(parents=True)
    (charts / "cnpg-0.28.0.tgz").touch()
    machine.run("up")
    assert sorted(chart.name for chart in charts.iterdir()) == ["cnpg-0.29.0.tgz", "strimzi-1.2.0.tgz"]


def test_changed_images_get_another_tag_and_unchanged_ones_keep_theirs(machine: Machine) -> None:
    def tag() -> str:
        assert machine.run("platform").returncode == 0
        [call] = machine.matching("upgrade --install insights")
        return call.split("images.tag=")[1]

    first = tag()
    assert tag() == first
    (machine.state / "layers").write_text("[sha256:two]")
    assert tag() != first


def test_no_other_cluster_is_ever_touched(machine: Machine) -> None:
    machine.run("up")
    local = r"^helm (pull|dependency list|show crds) "
    calls = [call for call in machine.matching("^(kubectl|helm) ") if not re.match(local, call)]
    assert calls
    assert [call for call in calls if "context kind-user-insights " not in call] == []


@pytest.mark.parametrize("missing", ["docker", "kind", "kubectl", "helm"])
def test_a_missing_program_is_reported_in_one_sentence(machine: Machine, missing: str) -> None:
    (machine.bin / missing).unlink()
    for needed in ("bash", "dirname", "mktemp", "rm"):
        (machine.bin / needed).symlink_to(shutil.which(needed) or needed)
    done = machine.run("up", path=str(machine.bin))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"error: {missing} was not found on PATH: install it, then run again.\n"


@pytest.mark.parametrize(
    ("refused", "sentence"),
    [
        ("^docker info", "The Docker daemon does not answer: start it, or give this user access to it."),
        (
            "^helm pull cert-manager",
            "Chart cert-manager v1.21.2 could not be downloaded from https://charts.jetstack.io: "
            "check that this machine can reach it, then run again.",
        ),
        (
            "^helm pull oci",
            "Chart strimzi 1.2.0 could not be downloaded from oci://quay.io/charts: "
            "check that this machine can reach it, then run again.",
        ),
        (
            "^kind create",
            "cluster user-insights failed: check that ports 80 and 443 are free and that the node image can be pulled.",
        ),
        (
            "install operators",
            "operators failed: `kubectl --context kind-user-insights -n insights-operators get pods,events` "
            "shows what it is waiting for; docs/kubernetes.md describes remedies.",
        ),
    ],
)
def test_a_failure_ends_the_run_with_one_sentence(machine: Machine, refused: str, sentence: str) -> None:
    machine.refuse(refused)
    done = machine.run("up")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == f"error: {sentence}"
    assert re.search(refused, machine.calls[-1])
    assert done.stderr.count("it was refused") == (0 if "docker" in refused else 1)


def test_an_unknown_command_lists_the_known_ones(machine: Machine) -> None:
    done = machine.run("upp")
    assert (done.returncode, done.stderr) == (1, "error: upp is not one of up, cluster, operators, platform, down.\n")


def test_down_deletes_the_cluster_and_nothing_else(machine: Machine) -> None:
    assert machine.run("down").returncode == 0
    assert [call for call in machine.calls if call != "docker info"] == ["kind delete cluster --name user-insights"]
