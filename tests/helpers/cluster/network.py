"""Which connections the cluster lets through, between a namespace's pods, those of another and what is outside."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.helpers.cluster.declared_edges import COMPONENTS, Edges
from tests.helpers.cluster.kubectl import Kubernetes, run
from tests.helpers.cluster.stores import IMAGE

PROGRAM = Path(__file__).with_name("network_probe.py").read_text()
BESIDE = "insights-e2e-beside"
VISITOR, NODE, API_SERVER = "a pod of another namespace", "node", "API server"
RELEASE = {"app.kubernetes.io/name": "user-insights", "app.kubernetes.io/instance": "insights"}
COMPONENT, STAND_IN = "app.kubernetes.io/component", "stand-in"
_RESTRICTED: dict[str, dict[str, Any]] = {
    "container": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    "pod": {"securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}},
}
_NODE: dict[str, dict[str, Any]] = {"container": {"privileged": True, "runAsUser": 0}, "pod": {"hostPID": True}}


@dataclass(frozen=True)
class Network:
    """A namespace with a pod for every end of the edges, and one beside it, on the one node of the cluster."""

    kubernetes: Kubernetes
    beside: Kubernetes
    edges: Edges

    def find_faults(self) -> list[str]:
        """Try every pair on every port. Returns a sentence for each that is open or closed against the declaration."""
        pods = _live(self.kubernetes)
        roles = {pod["metadata"]["name"]: _role(pod) for pod in pods}
        faults = {f"{name} has no pod" for name in {*COMPONENTS, *self.edges.others} - set(roles.values())}
        found = self._connect(pods)
        opened = set(map(tuple, found["open"]))
        open_to_all = _open_to_all()
        for connection in map(tuple, found["tried"]):
            source, target, port, protocol = connection
            is_open = connection in opened
            ends = roles.get(source, source), roles.get(target, target)
            if source == target and not is_open:
                faults.add(f"nothing listens on {target}:{port}/{protocol}")
            if source in (target, NODE) or not self.edges.concern(*ends):
                continue
            declared = self.edges.declare(*ends, port, protocol)
            if declared and not is_open:
                faults.add(f"{ends[0]} -> {ends[1]}:{port}/{protocol} is declared but closed")
            elif is_open and not declared and target not in open_to_all:
                faults.add(f"{ends[0]} -> {ends[1]}:{port}/{protocol} is open but not declared")
        return sorted(faults)

    def _connect(self, pods: list[dict[str, Any]]) -> dict[str, list[Any]]:
        addresses = {pod["metadata"]["name"]: pod["status"]["podIP"] for pod in pods}
        [visitor] = self.beside.get("pods", "-l", "app=visitor")
        addresses |= {VISITOR: visitor["status"]["podIP"], NODE: visitor["status"]["hostIP"]}
        [api_server] = Kubernetes("default").get("services", "--field-selector=metadata.name=kubernetes")
        request = {
            "members": addresses,
            "ports": sorted({*self.edges.ports, *_container_ports(pods), *self._policies_ports()}),
            "services": {API_SERVER: [api_server["spec"]["clusterIP"], 443]},
        }
        program = ("exec", "network-probe", "--", "python", "-c", PROGRAM, json.dumps(request))
        connections: dict[str, list[Any]] = json.loads(self.beside.kubectl(*program))
        return connections

    def _policies_ports(self) -> set[int]:
        """Return the ports that the policies name, so that one which only they name is tried as well."""
        rules = [
            rule
            for policy in self.kubernetes.get("networkpolicies")
            for direction in ("ingress", "egress")
            for rule in policy["spec"].get(direction, [])
        ]
        return {port["port"] for rule in rules for port in rule.get("ports", [])}


@contextmanager
def network(kubernetes: Kubernetes, edges: Edges) -> Iterator[Network]:
    """Provide a pod of another namespace, and one in this for every end of the edges that has none which lasts."""
    beside = Kubernetes(BESIDE)
    run("kubectl", "create", "namespace", BESIDE)
    lasting = {_role(pod) for pod in _live(kubernetes) if pod["spec"]["restartPolicy"] == "Always"}
    labels = {name: RELEASE | {COMPONENT: name} for name in COMPONENTS} | edges.others
    stand_ins = [
        _pod(f"stand-in-{name}-{number}", labels[name] | {STAND_IN: name}, _RESTRICTED)
        for name in labels.keys() - lasting
        for number in range(2 if (name, name) in edges.within else 1)
    ]
    try:
        beside.apply(_pod("network-probe", {}, _NODE), _pod("visitor", {"app": "visitor"}, _RESTRICTED))
        kubernetes.apply(*stand_ins)
        for namespace, selector in ((beside, "--all"), (kubernetes, f"--selector={STAND_IN}")):
            namespace.kubectl("wait", "pods", selector, "--for=condition=Ready", "--timeout=120s")
        yield Network(kubernetes, beside, edges)
    finally:
        kubernetes.kubectl("delete", "pods", "--selector", STAND_IN)
        run("kubectl", "delete", "namespace", BESIDE, "--timeout=60s", check=False)


def _live(kubernetes: Kubernetes) -> list[dict[str, Any]]:
    running = [pod for pod in kubernetes.get("pods") if pod["status"]["phase"] == "Running"]
    return [pod for pod in running if "deletionTimestamp" not in pod["metadata"]]


def _open_to_all() -> tuple[str, ...]:
    """Return the targets that no policy protects: those on the node, if the network is kind's own.

    It judged forwarded packets only until kube-network-policies #339, which kind 0.31 does not have.
    """
    kindnet = Kubernetes("kube-system").get("daemonsets", "--field-selector=metadata.name=kindnet")
    return (NODE, API_SERVER) if kindnet else ()


def _role(pod: dict[str, Any]) -> str:
    """Return which end of the edges a pod is; the name of one that is none."""
    name, labels = pod["metadata"]["name"], pod["metadata"].get("labels", {})
    return str(labels.get(STAND_IN, labels.get(COMPONENT, name)))


def _container_ports(pods: list[dict[str, Any]]) -> set[int]:
    containers = [container for pod in pods for container in pod["spec"]["containers"]]
    return {port["containerPort"] for container in containers for port in container.get("ports", [])}


def _pod(name: str, labels: dict[str, str], security: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Return a pod that does nothing."""
    container = {
        "name": "idle",
        "image": IMAGE,
        "imagePullPolicy": "Never",
        "command": ["sleep", "infinity"],
        "securityContext": security["container"],
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": labels},
        "spec": {
            "automountServiceAccountToken": False,
            "terminationGracePeriodSeconds": 0,
            "containers": [container],
            **security["pod"],
        },
    }
