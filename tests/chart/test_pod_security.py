"""The check of the Pod Security Standard: a conforming pod passes, and each violation is named."""

import copy
from typing import Any

import pytest

from tests.helpers.chart.manifests import Pod, selects
from tests.helpers.chart.pod_security import violations

GOOD: dict[str, Any] = {
    "securityContext": {"runAsNonRoot": True, "runAsUser": 10001, "seccompProfile": {"type": "RuntimeDefault"}},
    "volumes": [{"name": "tmp", "emptyDir": {}}],
    "initContainers": [],
    "containers": [
        {
            "name": "main",
            "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
            "livenessProbe": {"httpGet": {"port": 80}},
            "ports": [{"containerPort": 80}],
        }
    ],
}
MAIN = ("containers", 0)
FAULTS: list[tuple[tuple[str | int, ...], Any, str]] = [
    (("hostNetwork",), True, "sets hostNetwork"),
    (("hostPID",), True, "sets hostPID"),
    (("hostIPC",), True, "sets hostIPC"),
    (("volumes", 0), {"name": "tmp", "hostPath": {"path": "/"}}, "mounts a volume of type hostPath"),
    (("volumes", 0), {"name": "tmp", "nfs": {}}, "mounts a volume of type nfs"),
    (("securityContext", "sysctls"), [{"name": "kernel.msgmax"}], "sets the sysctl kernel.msgmax"),
    (("securityContext", "runAsUser"), 0, "runs as user 0"),
    (("securityContext", "runAsNonRoot"), None, "main does not set runAsNonRoot: true"),
    (("securityContext", "seccompProfile"), None, "main has no seccompProfile"),
    (("securityContext", "seLinuxOptions"), {"user": "u"}, "sets SELinux options"),
    (("securityContext", "windowsOptions"), {"hostProcess": True}, "is a Windows host process"),
    (("securityContext", "appArmorProfile"), {"type": "Unconfined"}, "has no AppArmor profile"),
    ((*MAIN, "securityContext", "runAsNonRoot"), False, "main does not set runAsNonRoot: true"),
    ((*MAIN, "securityContext", "runAsUser"), 0, "main runs as user 0"),
    ((*MAIN, "securityContext", "seccompProfile"), {"type": "Unconfined"}, "main has no seccompProfile"),
    ((*MAIN, "securityContext", "allowPrivilegeEscalation"), None, "main does not set allowPrivilegeEscalation"),
    ((*MAIN, "securityContext", "privileged"), True, "main is privileged"),
    ((*MAIN, "securityContext", "capabilities"), {"drop": ["NET_RAW"]}, "main does not drop ALL"),
    ((*MAIN, "securityContext", "capabilities"), {"drop": ["ALL"], "add": ["SYS_TIME"]}, "main adds the capability"),
    ((*MAIN, "securityContext", "procMount"), "Unmasked", "main sets procMount"),
    ((*MAIN, "ports"), [{"containerPort": 80, "hostPort": 80}], "main takes the host's port 80"),
    ((*MAIN, "livenessProbe", "httpGet"), {"port": 80, "host": "h"}, "main names a host in a probe"),
]


def pod_with(path: tuple[str | int, ...], value: Any) -> Pod:
    spec: Any = copy.deepcopy(GOOD)
    node = spec
    for part in path[:-1]:
        node = node[part]
    node[path[-1]] = value
    return Pod("Pod/x", {}, spec, False)


def test_a_conforming_pod_passes() -> None:
    assert violations(Pod("Pod/x", {}, GOOD, False)) == []
    assert (
        violations(pod_with((*MAIN, "securityContext", "capabilities"), {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]}))
        == []
    )


@pytest.mark.parametrize(("path", "value", "says"), FAULTS, ids=lambda part: part if isinstance(part, str) else "")
def test_a_single_violation_is_named(path: tuple[str | int, ...], value: Any, says: str) -> None:
    [found] = violations(pod_with(path, value))
    assert found.startswith(f"Pod/x {says}")


def test_init_containers_are_checked_too() -> None:
    found = violations(pod_with(("initContainers",), [{"name": "first"}]))
    assert found == [
        "Pod/x first does not set allowPrivilegeEscalation: false",
        "Pod/x first does not drop ALL capabilities",
    ]


def test_a_selector_selects_by_labels_and_expressions() -> None:
    labels = {"app": "a", "tier": "b"}
    assert selects({}, labels)
    assert selects({"matchLabels": {"app": "a"}}, labels)
    assert not selects({"matchLabels": {"app": "b"}}, labels)
    assert selects({"matchExpressions": [{"key": "app", "operator": "In", "values": ["a", "c"]}]}, labels)
    assert not selects({"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["a"]}]}, labels)
    assert not selects({"matchExpressions": [{"key": "app", "operator": "DoesNotExist"}]}, labels)
    assert selects({"matchExpressions": [{"key": "tier", "operator": "Exists"}]}, labels)
