"""kubectl, helm and docker on the test's cluster; a failed wait reports the state of the cluster."""

import base64
import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tests.helpers.support import eventually, free_port


def run(*command: str, stdin: str | None = None, check: bool = True) -> str:
    """Return the output of a command; if the command fails, the error contains it."""
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)
    if check and done.returncode != 0:
        raise AssertionError(f"{' '.join(command[:6])} ... ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout if check else done.stdout + done.stderr


def docker(*arguments: str) -> str:
    # Every engine has the classic builder.
    return run("env", "DOCKER_BUILDKIT=0", "docker", *arguments)


@dataclass(frozen=True)
class Kubernetes:
    """A namespace of the cluster in `KUBECONFIG`."""

    namespace: str

    def kubectl(self, *arguments: str, stdin: str | None = None, check: bool = True) -> str:
        try:
            return run("kubectl", "--namespace", self.namespace, *arguments, stdin=stdin, check=check)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.describe_state()}") from None

    def helm(self, *arguments: str, check: bool = True) -> str:
        try:
            return run("helm", *arguments, "--namespace", self.namespace, check=check)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.describe_state()}") from None

    def apply(self, *objects: dict[str, Any]) -> None:
        self.kubectl("apply", "--server-side", "-f", "-", stdin="\n---\n".join(map(json.dumps, objects)))

    def get(self, kind: str, *arguments: str) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = json.loads(self.kubectl("get", kind, *arguments, "-o", "json"))["items"]
        return items

    def pods(self, component: str, release: str) -> list[dict[str, Any]]:
        """Return the pods of a component that are not terminating."""
        selector = f"app.kubernetes.io/component={component},app.kubernetes.io/instance={release}"
        found = self.get("pods", "-l", selector)
        return [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]

    def evict(self, pod: str) -> list[str]:
        """Evict a pod, as a drain does, and wait until it is gone. Returns the phases that it went through."""
        eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod}}
        phase = "jsonpath={.status.phase}{'\\n'}"
        command = ["kubectl", "--namespace", self.namespace, "get", "pod", pod, "--watch", "--output", phase]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as watch:
            try:
                assert watch.stdout is not None
                phases = [watch.stdout.readline().strip()]
                address = f"/api/v1/namespaces/{self.namespace}/pods/{pod}/eviction"
                self.kubectl("create", "--raw", address, "-f", "-", stdin=json.dumps(eviction))
                wait_until_deleted(self, pod)
            finally:
                watch.terminate()
            return phases + watch.stdout.read().split()

    def secret(self, name: str, key: str) -> str:
        data = json.loads(self.kubectl("get", "secret", name, "-o", "json"))["data"]
        return base64.b64decode(data[key]).decode()

    @contextmanager
    def forwarded(self, target: str, port: int) -> Iterator[int]:
        """Forward a local port to `target`."""
        local = free_port()
        command = ["kubectl", "--namespace", self.namespace, "port-forward", target, f"{local}:{port}"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert "Forwarding" in line, line
            yield local
        finally:
            process.kill()
            process.wait()

    def describe_state(self) -> str:
        """Return pods, events and the last log lines of unready containers, for a failed wait."""
        run_here = self._run_unchecked
        parts = [run_here("get", "pods,jobs", "-o", "wide")]
        parts.append(run_here("get", "events", "--sort-by=.lastTimestamp")[-6000:])
        for pod in self.get("pods"):
            for status in pod["status"].get("initContainerStatuses", []) + pod["status"].get("containerStatuses", []):
                if not status["ready"] and "waiting" not in status["state"]:
                    container = (pod["metadata"]["name"], "-c", status["name"])
                    parts.append(f"--- {' '.join(container)}\n{run_here('logs', *container, '--tail=30')}")
        return "\n".join(parts)

    def _run_unchecked(self, *arguments: str) -> str:
        return run("kubectl", "--namespace", self.namespace, *arguments, check=False)


def cluster_name() -> str:
    """Return the name of the kind cluster of the current context."""
    return run("kubectl", "config", "current-context").strip().removeprefix("kind-")


def load_images(*images: str) -> None:
    """Load images onto the nodes."""
    run("kind", "load", "docker-image", *images, "--name", cluster_name())


def reachable() -> bool:
    """Return whether the cluster in `KUBECONFIG` answers."""
    if "KUBECONFIG" not in os.environ:
        return False
    done = subprocess.run(["kubectl", "version", "--request-timeout=5s"], capture_output=True, check=False)
    return done.returncode == 0


def wait_until_deleted(kubernetes: Kubernetes, pod: str, seconds: float = 120) -> None:
    eventually(
        lambda: pod not in {one["metadata"]["name"] for one in kubernetes.get("pods")},
        seconds,
        f"pod {pod} was not deleted",
        pause=1,
    )
