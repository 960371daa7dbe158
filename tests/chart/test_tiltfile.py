"""What the Tiltfile declares, evaluated with stand-ins, and by Tilt itself where it is installed.

A Tiltfile is Starlark, a subset of Python: here it runs as Python with stand-ins for Tilt's functions.
"""

import json
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from tests.helpers.chart.render import Rendered, Resource, nested, overlaid, render
from tests.helpers.support import REPOSITORY

IMAGES = {"airflow": "airflow", "publisher": "publisher", "spark": "stream", "dashboard": "dashboard"}


class Tilt:
    """Records what a Tiltfile declares, by name."""

    def __init__(self, profile: str) -> None:
        self.profile = profile
        self.images: dict[str, dict[str, Any]] = {}
        self.resources: dict[str, dict[str, Any]] = {}
        self.kinds: dict[str, dict[str, Any]] = {}
        self.applied: list[Resource] = []
        self.named: Any = None
        source = (REPOSITORY / "Tiltfile").read_text()
        exec(compile(source, "Tiltfile", "exec"), self._functions())

    def _functions(self) -> dict[str, Any]:
        functions = {
            name.removeprefix("_tilt_"): getattr(self, name) for name in dir(self) if name.startswith("_tilt_")
        }
        nothing = ("allow_k8s_contexts", "update_settings", "ci_settings")
        return functions | {
            "config": SimpleNamespace(define_string=lambda *_, **__: None, parse=lambda: {"profile": self.profile}),
            "k8s_context": lambda: "kind-test",
            "read_file": lambda path: Path(REPOSITORY, path).read_text(),
            "listdir": lambda path: sorted(map(str, Path(REPOSITORY, path).iterdir())),
            "encode_json": json.dumps,
            "decode_yaml": yaml.safe_load,
            "encode_yaml": yaml.safe_dump,
            "decode_yaml_stream": lambda text: list(yaml.safe_load_all(text)),
            "encode_yaml_stream": lambda documents: documents,
            "sync": lambda source, target: (source, target),
            "run": lambda command: command,
            "link": lambda *parts: parts,
            "TRIGGER_MODE_MANUAL": "manual",
            **{name: lambda *_, **__: None for name in nothing},
        }

    def _tilt_helm(self, _: str, **how: Any) -> str:
        return self._rendered(how["namespace"], how["values"], how["set"], lambda one: one["kind"] != "Pod")

    def _tilt_local(self, command: str, **_: bool) -> str:
        words = command.split()
        assert words[-2:] == ["--show-only", "templates/tests/check.yaml"]
        namespace, file, switches = (words[words.index(f"--{name}") + 1] for name in ("namespace", "values", "set"))
        return self._rendered(namespace, [file], switches.split(","), lambda one: one["kind"] == "Pod")

    def _rendered(self, namespace: str, files: list[str], switches: list[str], wanted: Any) -> str:
        values: dict[str, Any] = {}
        for file in files:
            values = overlaid(values, yaml.safe_load((REPOSITORY / file).read_text()))
        for switch in switches:
            path, value = switch.split("=")
            values = overlaid(values, nested(tuple(path.split(".")), yaml.safe_load(value)))
        rendered: Rendered = render(values, namespace=namespace)
        return "---\n".join(yaml.safe_dump(one) for one in rendered.resources if wanted(one))

    def _tilt_custom_build(self, image: str, command: str, **how: Any) -> None:
        self.images[image] = how | {"command": command}

    def _tilt_docker_build(self, image: str, _: str, **how: Any) -> None:
        self.images[image] = how

    def _tilt_k8s_kind(self, kind: str, **how: Any) -> None:
        self.kinds[kind.strip("^$")] = how

    def _tilt_workload_to_resource_function(self, function: Any) -> None:
        self.named = function

    def _tilt_local_resource(self, name: str, command: str, **how: Any) -> None:
        self.resources[name] = how | {"command": command}

    def _tilt_k8s_resource(self, workload: str = "", new_name: str = "", **how: Any) -> None:
        self.resources[new_name or workload] = how

    def _tilt_k8s_yaml(self, documents: list[Resource]) -> None:
        self.applied = documents

    def one(self, kind: str, name: str) -> Resource:
        [found] = [one for one in self.applied if one["kind"] == kind and one["metadata"]["name"].endswith(name)]
        return found

    def workloads(self) -> Iterator[str]:
        for one in self.applied:
            if one["kind"] in {"Deployment", "Job", "Pod", *self.kinds}:
                yield self.named(SimpleNamespace(kind=one["kind"], name=one["metadata"]["name"]))

    def before(self, name: str) -> set[str]:
        """Return everything that a resource waits for."""
        direct = set(self.resources[name].get("resource_deps", []))
        return direct.union(*(self.before(one) for one in direct))


@pytest.fixture(scope="module", params=["kind", "small"])
def tilt(request: pytest.FixtureRequest) -> Tilt:
    return Tilt(request.param)


@pytest.fixture(scope="module")
def kind() -> Tilt:
    return Tilt("kind")


def test_every_workload_is_a_labelled_resource_and_no_other_name_is_used(tilt: Tilt) -> None:
    others = {"operators", "logins and topics", "run ingest now"}
    assert sorted(tilt.workloads()) == sorted(tilt.resources.keys() - others)
    assert [name for name, how in tilt.resources.items() if not how.get("labels")] == []


def test_everything_is_in_the_platforms_namespace(tilt: Tilt) -> None:
    inside = [one["metadata"].get("namespace") for one in tilt.applied if one["kind"] != "Namespace"]
    assert set(inside) == {"user-insights"}


def test_what_needs_an_operator_waits_for_the_operators(kind: Tilt) -> None:
    for name in ("kafka", "postgres", "cassandra", "logins and topics", "migrations", "stream", "publisher"):
        assert "operators" in kind.before(name), name
    assert kind.resources["operators"]["command"].endswith("scripts/kind operators")


def test_custom_resources_are_workloads_if_they_create_pods_and_grouped_otherwise(kind: Tilt) -> None:
    of_kubernetes = r"(v1|apps/|batch/|policy/|networking\.k8s\.io/|rbac\.authorization\.k8s\.io/)"
    of_operators = {one["kind"] for one in kind.applied if not re.match(of_kubernetes, one["apiVersion"])}
    grouped = {name.split(":")[1] for name in kind.resources["logins and topics"]["objects"]}
    assert grouped | kind.kinds.keys() == of_operators
    assert all(how["pod_readiness"] == "wait" for how in kind.kinds.values())


@pytest.mark.parametrize("name", IMAGES)
def test_an_image_gets_what_its_dockerfile_copies_and_syncs_to_the_same_place(kind: Tilt, name: str) -> None:
    dockerfile = (REPOSITORY / "images" / name / "Dockerfile").read_text()
    copied: dict[str, str] = {}
    for line in re.findall(r"^COPY (?!--from)(.*)$", dockerfile, re.MULTILINE):
        *sources, target = [word for word in line.split() if not word.startswith("--")]
        copied |= dict.fromkeys(sources, target)
    image = kind.images[f"user-insights/{name}"]
    given = image.get("only") or image["deps"]
    assert [source for source in copied if not any(f"{source}/".startswith(f"{one}/") for one in given)] == []
    assert [one for one in given if not (REPOSITORY / one).exists()] == []
    for source, target in (step for step in image["live_update"] if isinstance(step, tuple)):
        assert target == f"/opt/insights/{copied[source]}"


def test_pods_of_tasks_have_the_image_on_the_node_and_the_current_dags(tilt: Tilt) -> None:
    pod = yaml.safe_load(tilt.one("ConfigMap", "-airflow")["data"]["pod_template_file.yaml"])
    [container] = pod["spec"]["containers"]
    build = tilt.images["user-insights/airflow"]["command"]
    assert build.count(container["image"]) == 2
    dags = tilt.one("ConfigMap", "-dags")
    [mount] = [mount for mount in container["volumeMounts"] if mount["mountPath"] == "/opt/insights/dags"]
    [volume] = [volume for volume in pod["spec"]["volumes"] if volume["name"] == mount["name"]]
    assert volume["configMap"]["name"] == dags["metadata"]["name"]
    assert dags["data"] == {path.name: path.read_text() for path in (REPOSITORY / "dags").glob("*.py")}


def test_containers_with_live_updates_are_writable(tilt: Tilt) -> None:
    for one in tilt.applied:
        if one["kind"] == "Deployment":
            pod = one["spec"]["template"]["spec"]
            assert not any(c["securityContext"]["readOnlyRootFilesystem"] for c in pod["containers"])
            # An image that runs only in an init container cannot be updated in place.
            assert {c["image"] for c in pod["initContainers"]} <= {c["image"] for c in pod["containers"]}


def test_a_process_restarts_in_its_container_on_request_and_otherwise_exits_with_its_code(
    kind: Tilt, tmp_path: Path
) -> None:
    dockerfile = kind.images["user-insights/publisher"]["dockerfile_contents"]
    entrypoint = json.loads(dockerfile.split("ENTRYPOINT ")[1])
    again = kind.images["user-insights/publisher"]["live_update"][-1]
    [script] = [part for part in entrypoint if "while" in part]
    in_place = [part.replace("/tmp/", f"{tmp_path}/") for part in entrypoint]
    program = tmp_path / "program.sh"
    restart = again.replace("/tmp/", f"{tmp_path}/")
    # The first run requests a restart, the second exits.
    program.write_text(
        f"echo started; [ -e {tmp_path}/second ] && exit 7; touch {tmp_path}/second\n{restart}\nsleep 20\n"
    )
    done = subprocess.run([*in_place, "sh", str(program)], capture_output=True, text=True, timeout=30, check=False)
    assert (done.stdout, done.returncode) == ("started\nstarted\n", 7)
    assert script in json.loads(kind.images["user-insights/spark"]["dockerfile_contents"].split("ENTRYPOINT ")[-1])


def test_sigterm_reaches_the_process_and_its_exit_code_is_the_container_s(kind: Tilt, tmp_path: Path) -> None:
    entrypoint = json.loads(kind.images["user-insights/publisher"]["dockerfile_contents"].split("ENTRYPOINT ")[1])
    in_place = [part.replace("/tmp/", f"{tmp_path}/") for part in entrypoint]
    program = "trap 'sleep 0.1; echo ended; exit 3' TERM; echo started; while :; do sleep 0.02; done"
    process = subprocess.Popen(
        [*in_place, "sh", "-c", program], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "started\n"
        process.terminate()
        said, _ = process.communicate(timeout=20)
    finally:
        if not process.stdout.closed:
            os.killpg(process.pid, signal.SIGKILL)
    assert (said, process.returncode) == ("ended\n", 3)


@pytest.mark.skipif(shutil.which("tilt") is None, reason="tilt is not on PATH")
@pytest.mark.parametrize("profile", ["kind", "small"])
def test_tilt_evaluates_the_tiltfile(profile: str) -> None:
    done = subprocess.run(
        ["tilt", "alpha", "tiltfile-result", "--", f"--profile={profile}"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["Error"] is None
