"""The traffic that the rendered NetworkPolicies admit."""

from typing import Any

from tests.helpers.chart.manifests import Pod, selects
from tests.helpers.chart.render import Rendered, Resource


def passes(rules: list[dict[str, Any]], side: str, port: int, labels: dict[str, str] | None) -> bool:
    """Return whether a rule admits a TCP port for pods with these labels; None stands for an address outside."""
    return any(_port(rule, port) and _peer(rule.get(side), labels) for rule in rules)


def _port(rule: dict[str, Any], port: int) -> bool:
    ports = rule.get("ports")
    return not ports or any(one.get("port") == port and one.get("protocol", "TCP") == "TCP" for one in ports)


def _peer(peers: list[dict[str, Any]] | None, labels: dict[str, str] | None) -> bool:
    if not peers:
        return True
    if labels is None:
        return any("ipBlock" in peer for peer in peers)
    return any("ipBlock" not in peer and selects(peer.get("podSelector"), labels) for peer in peers)


def rules(rendered: Rendered, labels: dict[str, str], direction: str) -> list[dict[str, Any]] | None:
    """Return the rules of one direction that apply to a pod; None if no policy restricts it."""
    closing: list[Resource] = [
        policy
        for policy in rendered.of("NetworkPolicy")
        if selects(policy["spec"].get("podSelector"), labels) and direction in policy["spec"]["policyTypes"]
    ]
    if not closing:
        return None
    return [rule for policy in closing for rule in policy["spec"].get(direction.lower()) or []]


def may_send(rendered: Rendered, pod: Pod, port: int, to: dict[str, str] | None) -> bool:
    out = rules(rendered, pod.labels, "Egress")
    return out is None or passes(out, "to", port, to)


def admits(rendered: Rendered, labels: dict[str, str], port: int, sender: dict[str, str]) -> bool:
    into = rules(rendered, labels, "Ingress")
    return into is None or passes(into, "from", port, sender)
