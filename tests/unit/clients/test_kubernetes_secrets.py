"""The Secrets of a release, against a fake namespace."""

import base64
import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from insights.clients.kubernetes_secrets import (
    SecretPlan,
    SecretStore,
    create_secrets,
    open_secret_store,
    read_plans,
    read_requirement,
)
from insights.errors import UserError

PLAN = SecretPlan(
    name="r-airflow-keys",
    labels={"app": "r"},
    annotations={"helm.sh/resource-policy": "keep"},
    values={"username": "admin"},
    generate={"password": "password", "fernet-key": "fernet-key"},
)


class ApiError(Exception):
    """The error of the client's `ApiException`, without its class."""

    def __init__(self, status: int, message: str = "") -> None:
        super().__init__(message)
        self.status, self.reason, self.body = status, "Reason", json.dumps({"message": message})


class FakeNamespace:
    """Implements the two calls of `CoreV1Api` that are used; `errors` are raised by verb."""

    def __init__(self, **secrets: dict[str, str]) -> None:
        self.secrets: dict[str, dict[str, str]] = dict(secrets)
        self.bodies: dict[str, dict[str, Any]] = {}
        self.errors: dict[str, Exception] = {}

    def read_namespaced_secret(self, name: str, namespace: str, _request_timeout: int) -> Any:
        assert namespace == "data"
        self._maybe_raise("read")
        if name not in self.secrets:
            raise ApiError(404)
        return SimpleNamespace(data=self.secrets[name] or None)

    def create_namespaced_secret(self, namespace: str, body: dict[str, Any], _request_timeout: int) -> None:
        assert namespace == "data"
        self._maybe_raise("create")
        name = body["metadata"]["name"]
        if name in self.secrets:
            raise ApiError(409)
        self.secrets[name] = body["stringData"]
        self.bodies[name] = body

    def _maybe_raise(self, verb: str) -> None:
        if verb in self.errors:
            raise self.errors[verb]


def run(api: FakeNamespace, *plans: SecretPlan, required: list[tuple[str, str]] | None = None) -> list[str]:
    return create_secrets(SecretStore(api, "data"), plans, required or [])


def test_an_absent_secret_is_created_with_its_values_and_random_ones() -> None:
    api = FakeNamespace()
    assert run(api, PLAN) == ["r-airflow-keys"]
    body = api.bodies["r-airflow-keys"]
    assert body["type"] == "Opaque"
    assert body["metadata"] == {
        "name": "r-airflow-keys",
        "labels": {"app": "r"},
        "annotations": {"helm.sh/resource-policy": "keep"},
    }
    data = body["stringData"]
    assert data["username"] == "admin"
    assert re.fullmatch(r"[A-Za-z0-9_-]{32}", data["password"])
    assert len(base64.urlsafe_b64decode(data["fernet-key"])) == 32


def test_the_generated_fernet_key_is_valid() -> None:
    fernet = pytest.importorskip("cryptography.fernet")
    api = FakeNamespace()
    run(api, PLAN)
    key = fernet.Fernet(api.secrets["r-airflow-keys"]["fernet-key"])
    assert key.decrypt(key.encrypt(b"text")) == b"text"


def test_no_two_secrets_are_alike() -> None:
    first, second = PLAN.make_manifest()["stringData"], PLAN.make_manifest()["stringData"]
    assert first["password"] != second["password"]
    assert first["fernet-key"] != second["fernet-key"]


def test_a_secret_that_exists_is_never_changed() -> None:
    existing = {"username": "other", "password": "old", "fernet-key": "old", "more": "own"}
    api = FakeNamespace(**{"r-airflow-keys": dict(existing)})
    assert run(api, PLAN) == []
    assert api.secrets == {"r-airflow-keys": existing}


@pytest.mark.parametrize("missing", ["username", "password", "fernet-key"])
def test_a_secret_that_exists_without_a_key_is_reported_with_the_remedy(missing: str) -> None:
    existing = {"username": "x", "password": "x", "fernet-key": "x"}
    existing.pop(missing)
    api = FakeNamespace(**{"r-airflow-keys": existing})
    with pytest.raises(
        UserError,
        match=f"Secret r-airflow-keys in namespace data exists without the key {missing}: add the key, or delete",
    ):
        run(api, PLAN)
    assert api.secrets == {"r-airflow-keys": existing}


def test_a_secret_that_another_process_creates_in_the_meantime_is_used() -> None:
    class Contended(FakeNamespace):
        def create_namespaced_secret(self, namespace: str, body: dict[str, Any], _request_timeout: int) -> None:
            self.secrets[body["metadata"]["name"]] = dict.fromkeys(body["stringData"], "theirs")
            super().create_namespaced_secret(namespace, body, _request_timeout)

    api = Contended()
    assert run(api, PLAN) == []
    assert set(api.secrets["r-airflow-keys"].values()) == {"theirs"}


def test_a_secret_without_keys_is_created_too() -> None:
    api = FakeNamespace()
    assert run(api, SecretPlan(name="empty")) == ["empty"]
    assert run(api, SecretPlan(name="empty")) == []


@pytest.mark.parametrize("verb", ["read", "create"])
def test_what_the_api_server_forbids_is_reported_in_one_sentence(verb: str) -> None:
    api = FakeNamespace()
    api.errors[verb] = ApiError(403, "secrets is forbidden")
    with pytest.raises(
        UserError, match=f"does not allow this pod to {verb} Secret r-airflow-keys in namespace data: allow its service"
    ):
        run(api, PLAN)


def test_another_answer_of_the_api_server_is_reported() -> None:
    api = FakeNamespace()
    api.errors["create"] = ApiError(422, 'Secret "r" is invalid')
    with pytest.raises(UserError, match=r'did not create Secret r-airflow-keys .*Secret "r" is invalid'):
        run(api, PLAN)
    api.errors = {"read": OSError("Connection refused")}
    with pytest.raises(UserError, match=r"did not read Secret r-airflow-keys .*Connection refused"):
        run(api, PLAN)


def test_required_secrets_are_checked_before_anything_is_created() -> None:
    api = FakeNamespace(there={"password": "x"})
    with pytest.raises(UserError, match=r"Secret missing in namespace data is missing \(key password\): create it, or"):
        run(api, PLAN, required=[("there", "password"), ("missing", "password")])
    with pytest.raises(UserError, match=r"Secret there in namespace data lacks the key username: add it, or"):
        run(api, PLAN, required=[("there", "username")])
    assert api.bodies == {}
    assert run(api, PLAN, required=[("there", "password")]) == ["r-airflow-keys"]


def test_a_list_is_read_from_yaml_or_json(tmp_path: Path) -> None:
    path = tmp_path / "secrets.yaml"
    path.write_text(
        "- name: a\n  type: kubernetes.io/basic-auth\n  values: {username: u}\n  generate:\n    password: password\n"
    )
    [plan] = read_plans(path)
    assert (plan.name, plan.type, plan.values, plan.generate) == (
        "a",
        "kubernetes.io/basic-auth",
        {"username": "u"},
        {"password": "password"},
    )
    path.write_text(json.dumps([plan.model_dump()]))
    assert read_plans(path) == [plan]
    path.write_text("")
    assert read_plans(path) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- name: a\n  generate: {k: uuid}\n", r"entry 0\.generate\.k: Input should be 'password' or 'fernet-key'"),
        ("- nmae: a\n", r"entry 0\.name: Field required"),
        ("- name: a\n  value: {}\n", r"entry 0\.value: Extra inputs are not permitted"),
        ("a: b\n", "the document: Input should be a valid list"),
        ("- [\n", "cannot be read as a list of Secrets"),
    ],
)
def test_a_file_that_is_not_a_list_of_secrets_is_reported_with_the_entry(
    tmp_path: Path, text: str, message: str
) -> None:
    path = tmp_path / "secrets.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=message):
        read_plans(path)


def test_a_file_that_does_not_exist_is_reported(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none\.yaml cannot be read"):
        read_plans(tmp_path / "none.yaml")


def test_a_requirement_names_a_secret_and_a_key() -> None:
    assert read_requirement("login:ca.crt") == ("login", "ca.crt")
    for wrong in ("login", "login:", ":key", ""):
        with pytest.raises(UserError, match="is not NAME:KEY"):
            read_requirement(wrong)


def test_outside_a_cluster_the_error_is_one_sentence() -> None:
    with pytest.raises(UserError, match="does not run in a pod with a service account"):
        open_secret_store()
