"""The Pod Security Standard `restricted`, including `baseline`, as of Kubernetes 1.35."""

from collections.abc import Iterator
from typing import Any

from tests.helpers.chart.manifests import Container, Pod

VOLUMES = {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"}
SECCOMP = {"RuntimeDefault", "Localhost"}
SYSCTLS = {
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.ping_group_range",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
}
SELINUX_TYPES = {None, "", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"}


def violations(pod: Pod) -> list[str]:
    """Return one sentence for each violation; admission rejects a pod that has any."""
    found = [f"{pod.owner} {text}" for text in _of_pod(pod)]
    for container in pod.containers():
        found += [f"{pod.owner} {container.name} {text}" for text in _of_container(container, pod)]
    return found


def _of_pod(pod: Pod) -> Iterator[str]:
    spec, security = pod.spec, pod.spec.get("securityContext") or {}
    for key in ("hostNetwork", "hostPID", "hostIPC"):
        if spec.get(key):
            yield f"sets {key}"
    for volume in spec.get("volumes") or []:
        for kind in volume.keys() - VOLUMES - {"name"}:
            yield f"mounts a volume of type {kind}"
    for sysctl in security.get("sysctls") or []:
        if sysctl["name"] not in SYSCTLS:
            yield f"sets the sysctl {sysctl['name']}"
    yield from _of_either(security)


def _of_container(container: Container, pod: Pod) -> Iterator[str]:
    spec, own = container.spec, container.spec.get("securityContext") or {}
    inherited = (pod.spec.get("securityContext") or {}) | own
    if own.get("allowPrivilegeEscalation") is not False:
        yield "does not set allowPrivilegeEscalation: false"
    if own.get("privileged"):
        yield "is privileged"
    if inherited.get("runAsNonRoot") is not True:
        yield "does not set runAsNonRoot: true"
    if (inherited.get("seccompProfile") or {}).get("type") not in SECCOMP:
        yield "has no seccompProfile RuntimeDefault or Localhost"
    capabilities = own.get("capabilities") or {}
    if "ALL" not in (capabilities.get("drop") or []):
        yield "does not drop ALL capabilities"
    for capability in set(capabilities.get("add") or []) - {"NET_BIND_SERVICE"}:
        yield f"adds the capability {capability}"
    if own.get("procMount") not in (None, "Default"):
        yield f"sets procMount {own['procMount']}"
    for port in spec.get("ports") or []:
        if port.get("hostPort"):
            yield f"takes the host's port {port['hostPort']}"
    if any(handler.get("host") for handler in _handlers(spec)):
        yield "names a host in a probe or a lifecycle handler"
    yield from _of_either(own)


def _of_either(security: dict[str, Any]) -> Iterator[str]:
    if security.get("runAsUser") == 0:
        yield "runs as user 0"
    if (security.get("windowsOptions") or {}).get("hostProcess"):
        yield "is a Windows host process"
    if (security.get("appArmorProfile") or {}).get("type") == "Unconfined":
        yield "has no AppArmor profile"
    selinux = security.get("seLinuxOptions") or {}
    if selinux.get("type") not in SELINUX_TYPES or selinux.get("user") or selinux.get("role"):
        yield "sets SELinux options of its own"


def _handlers(spec: dict[str, Any]) -> Iterator[dict[str, Any]]:
    lifecycle = spec.get("lifecycle") or {}
    probes = [spec.get(f"{kind}Probe") or {} for kind in ("liveness", "readiness", "startup")]
    for holder in (*probes, *(lifecycle.get(key) or {} for key in ("postStart", "preStop"))):
        yield from (holder[key] for key in ("httpGet", "tcpSocket") if key in holder)
