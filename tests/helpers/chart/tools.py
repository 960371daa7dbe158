"""The programs of the chart tests, each pinned to a version: used if present, otherwise built or installed once."""

import functools
import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

import pytest

from insights.settings import LocalSettings, load
from tests.helpers.support import REPOSITORY

CACHE = load(LocalSettings).cache.expanduser()
KUBERNETES = "v1.35.4"
PROGRAMS = {
    "helm": ("helm.sh/helm/v4/cmd/helm", "v4.3.1"),
    "kubeconform": ("github.com/yannh/kubeconform/cmd/kubeconform", "v0.8.0"),
    "prometheus": ("github.com/prometheus/prometheus/cmd/prometheus", "v0.316.0"),
    "promtool": ("github.com/prometheus/prometheus/cmd/promtool", "v0.316.0"),
}
CERT_MANAGER = ("github.com/cert-manager/cert-manager", "v1.21.2")
GATEWAY_API = ("sigs.k8s.io/gateway-api", "v1.5.1")
PROMETHEUS_OPERATOR = ("github.com/prometheus-operator/prometheus-operator", "v0.85.0")
ELSEWHERE = Path("~/.cache/kind-offline/bin").expanduser()


def unavailable(reason: str) -> NoReturn:
    """Skip the test on a developer's machine; fail it in CI."""
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


@functools.cache
def program(name: str) -> str:
    """Return the path of a program: on PATH, in a cache, or built with Go."""
    package, version = PROGRAMS[name]
    folder = CACHE / "tools" / f"{name}-{version}"
    found = shutil.which(name) or shutil.which(name, path=f"{folder}:{ELSEWHERE}")
    if found:
        return found
    built = _go("install", f"{package}@{version}", GOBIN=str(folder), CGO_ENABLED="0")
    if built is None:
        unavailable(f"{name} is not on PATH and Go could not build {package}@{version}: install one of them.")
    return str(folder / name)


@functools.cache
def module(path: str, version: str) -> Path:
    """Return the folder of a Go module's files."""
    answer = _go("mod", "download", "-json", f"{path}@{version}")
    if answer is None:
        unavailable(f"Go could not download {path}@{version}: install Go, or check that it reaches a module proxy.")
    return Path(json.loads(answer)["Dir"])


def _go(*arguments: str, **environment: str) -> str | None:
    go = shutil.which("go", path=f"{os.environ['PATH']}:/usr/local/go/bin")
    if go is None:
        return None
    done = subprocess.run(
        [go, *arguments], env=os.environ | environment, cwd="/", capture_output=True, text=True, check=False
    )
    print(done.stderr, file=sys.stderr)
    return None if done.returncode else done.stdout


@functools.cache
def checkov() -> str:
    """Return the path of checkov, in its own environment: it pins older versions of the platform's packages."""
    requirements = REPOSITORY / "requirements" / "checkov.txt"
    home = CACHE / "tools" / f"checkov-{hashlib.sha256(requirements.read_bytes()).hexdigest()[:16]}"
    python, complete = home / "bin/python", home / "complete"
    if not complete.exists():
        shutil.rmtree(home, ignore_errors=True)
        uv = str(Path(sys.executable).with_name("uv"))
        install = [uv, "pip", "sync", "--quiet", "--python", str(python), "--require-hashes", str(requirements)]
        for command in ([uv, "venv", "--quiet", "--python", sys.executable, str(home)], install):
            if subprocess.run(command, check=False).returncode:
                unavailable(f"checkov could not be installed into {home}: check the disk and the network.")
        complete.touch()
    return str(home / "bin/checkov")
