"""Secrets of a release with generated values: created if they do not exist, and never changed afterwards."""

import base64
import json
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol

import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from insights.clients import kubernetes
from insights.errors import UserError

_PASSWORD_BYTES = 24
"""Encoded as 32 characters of base64."""
_REQUEST_SECONDS = 30
_NOT_FOUND, _CONFLICT, _FORBIDDEN = 404, 409, 403


class SecretPlan(BaseModel):
    """A Secret to create: keys with given `values`, and keys with values to `generate`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, Field(min_length=1)]
    type: str = "Opaque"
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    values: dict[str, str] = {}
    generate: dict[str, Literal["password", "fernet-key"]] = {}

    def make_manifest(self) -> dict[str, Any]:
        """The manifest of the Secret, with newly generated values."""
        generated = {
            key: generate_fernet_key() if kind == "fernet-key" else generate_password()
            for key, kind in self.generate.items()
        }
        return {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": self.name, "labels": self.labels, "annotations": self.annotations},
            "type": self.type,
            "stringData": self.values | generated,
        }


class SecretApi(Protocol):
    """The methods of `CoreV1Api` that a `SecretStore` calls."""

    def read_namespaced_secret(self, name: str, namespace: str, /, *, _request_timeout: int) -> Any: ...
    def create_namespaced_secret(self, namespace: str, body: dict[str, Any], /, *, _request_timeout: int) -> object: ...


class SecretStore:
    """The Secrets of one namespace, accessed through a `CoreV1Api`."""

    def __init__(self, api: SecretApi, namespace: str) -> None:
        self._api = api
        self.namespace = namespace

    def ensure(self, plan: SecretPlan) -> bool:
        """Create the Secret if it does not exist. Returns whether it was created; an existing one is only checked.

        Raises:
            UserError: it exists but lacks a key, or the API server denies the request or does not answer.
        """
        keys = self._read_keys(plan.name)
        if keys is None:
            if self._create(plan):
                return True
            keys = self._read_keys(plan.name) or set()
        for key in (*plan.values, *plan.generate):
            if key not in keys:
                raise UserError(
                    f"Secret {plan.name} in namespace {self.namespace} exists without the key {key}: add the key, or"
                    " delete the Secret to have it created with new values, and then set these in its store too."
                )
        return False

    def require(self, name: str, key: str) -> None:
        """Check that the Secret exists and has the key.

        Raises:
            UserError: the Secret or the key is missing, or the API server denies the request or does not answer.
        """
        keys = self._read_keys(name)
        if keys is None:
            raise UserError(
                f"Secret {name} in namespace {self.namespace} is missing (key {key}): create it, or name another in the"
                " value existingSecret."
            )
        if key not in keys:
            raise UserError(
                f"Secret {name} in namespace {self.namespace} lacks the key {key}: add it, or name another in the value"
                " existingSecret."
            )

    def _read_keys(self, name: str) -> set[str] | None:
        """The keys of the Secret, or None if it does not exist."""
        try:
            secret = self._api.read_namespaced_secret(name, self.namespace, _request_timeout=_REQUEST_SECONDS)
        except Exception as error:
            if _status(error) == _NOT_FOUND:
                return None
            raise self._describe_error("read", name, error) from error
        return set(secret.data or {})

    def _create(self, plan: SecretPlan) -> bool:
        """Create the Secret. Returns false if another process has created it in the meantime."""
        try:
            self._api.create_namespaced_secret(self.namespace, plan.make_manifest(), _request_timeout=_REQUEST_SECONDS)
        except Exception as error:
            if _status(error) == _CONFLICT:
                return False
            raise self._describe_error("create", plan.name, error) from error
        return True

    def _describe_error(self, verb: str, name: str, error: Exception) -> UserError:
        if _status(error) == _FORBIDDEN:
            return UserError(
                f"Kubernetes does not allow this pod to {verb} Secret {name} in namespace {self.namespace}: allow its"
                " service account to get and create secrets."
            )
        return UserError(
            f"Kubernetes did not {verb} Secret {name} in namespace {self.namespace} ({_find_reason(error)});"
            " fix the cause and try again."
        )


def read_plans(path: Path) -> list[SecretPlan]:
    """Read a YAML or JSON file with a list of Secrets.

    Raises:
        UserError: the file cannot be read, or is not a list of Secrets; the message names the entry.
    """
    try:
        entries = yaml.safe_load(path.read_text(encoding="utf-8"))
        return TypeAdapter(list[SecretPlan]).validate_python(entries or [])
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UserError(f"{path} cannot be read as a list of Secrets ({' '.join(str(error).split())}).") from error
    except ValidationError as error:
        first = error.errors()[0]
        location = ".".join(str(part) for part in first["loc"])
        subject = f"entry {location}" if location else "the document"
        raise UserError(f"{path} is not a list of Secrets: {subject}: {first['msg']}.") from None


def read_requirement(text: str) -> tuple[str, str]:
    """The name and the key of `NAME:KEY`.

    Raises:
        UserError: the text does not have that form.
    """
    name, _, key = text.partition(":")
    if not name or not key:
        raise UserError(f"--require {text!r} is not NAME:KEY, as in postgres-login:password.")
    return name, key


def create_secrets(store: SecretStore, plans: Sequence[SecretPlan], required: Sequence[tuple[str, str]]) -> list[str]:
    """Check the required (name, key) pairs, then create the planned Secrets. Returns the names of those created.

    Raises:
        UserError: a Secret is missing or incomplete, or the API server denies the request or does not answer.
    """
    for name, key in required:
        store.require(name, key)
    return [plan.name for plan in plans if store.ensure(plan)]


def open_secret_store(account: Path = kubernetes.ACCOUNT) -> SecretStore:
    """Open the Secrets of this pod's namespace.

    Raises:
        UserError: this process does not run in a pod with a service account token.
    """
    from kubernetes.client import CoreV1Api

    namespace = kubernetes.connect(account)
    return SecretStore(CoreV1Api(), namespace)


def generate_password() -> str:
    """A password of 32 URL-safe characters."""
    return secrets.token_urlsafe(_PASSWORD_BYTES)


def generate_fernet_key() -> str:
    """A key for `cryptography.fernet`: 32 random bytes in URL-safe base64."""
    return base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()


def _status(error: Exception) -> int | None:
    """The HTTP status of an `ApiException`."""
    return getattr(error, "status", None)


def _find_reason(error: Exception) -> str:
    """The message of the API server if there is one, else that of the error."""
    try:
        return str(json.loads(getattr(error, "body", "") or "")["message"])
    except (ValueError, KeyError, TypeError):
        return str(getattr(error, "reason", None) or error)
