"""One-time Secrets of a release: created where absent, with random values, and never changed afterwards."""

import base64
import json
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from insights.clients import kubernetes
from insights.errors import UserError

_PASSWORD_BYTES = 24
"""32 characters of base64."""
_REQUEST_SECONDS = 30
_NOT_FOUND, _CONFLICT, _FORBIDDEN = 404, 409, 403


class SecretPlan(BaseModel):
    """A Secret as it is to be created. `generate` says what kind of random text a key gets."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, Field(min_length=1)]
    type: str = "Opaque"
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    values: dict[str, str] = {}
    generate: dict[str, Literal["password", "fernet-key"]] = {}

    def manifest(self) -> dict[str, Any]:
        """The Secret with fresh random values."""
        made = {
            key: generate_fernet_key() if kind == "fernet-key" else generate_password()
            for key, kind in self.generate.items()
        }
        return {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": self.name, "labels": self.labels, "annotations": self.annotations},
            "type": self.type,
            "stringData": self.values | made,
        }


class SecretStore:
    """The Secrets of one namespace through a `CoreV1Api`."""

    def __init__(self, api: Any, namespace: str) -> None:
        self._api = api
        self.namespace = namespace

    def ensure(self, plan: SecretPlan) -> bool:
        """Create the Secret unless it exists; whether it was created. One that exists is looked at, not changed.

        Raises:
            UserError: it exists without one of its keys, or the API server refuses or does not answer.
        """
        found = self._keys(plan.name)
        if found is None:
            if self._create(plan):
                return True
            found = self._keys(plan.name) or set()
        for key in (*plan.values, *plan.generate):
            if key not in found:
                raise UserError(
                    f"Secret {plan.name} in namespace {self.namespace} exists without the key {key}: add the key, or"
                    " delete the Secret to have it created again with new values, which its store must then be given."
                )
        return False

    def require(self, name: str, key: str) -> None:
        """Return if somebody has made the Secret with that key.

        Raises:
            UserError: it is missing, or the API server refuses or does not answer.
        """
        found = self._keys(name)
        if found is None:
            raise UserError(
                f"Secret {name} in namespace {self.namespace} is missing (key {key}): create it, or name another in the"
                " value existingSecret."
            )
        if key not in found:
            raise UserError(
                f"Secret {name} in namespace {self.namespace} lacks the key {key}: add it, or name another in the value"
                " existingSecret."
            )

    def _keys(self, name: str) -> set[str] | None:
        try:
            found = self._api.read_namespaced_secret(name, self.namespace, _request_timeout=_REQUEST_SECONDS)
        except Exception as error:
            if _status(error) == _NOT_FOUND:
                return None
            raise self._refused("read", name, error) from error
        return set(found.data or {})

    def _create(self, plan: SecretPlan) -> bool:
        """False if another has just created it."""
        try:
            self._api.create_namespaced_secret(self.namespace, plan.manifest(), _request_timeout=_REQUEST_SECONDS)
        except Exception as error:
            if _status(error) == _CONFLICT:
                return False
            raise self._refused("create", plan.name, error) from error
        return True

    def _refused(self, verb: str, name: str, error: Exception) -> UserError:
        if _status(error) == _FORBIDDEN:
            return UserError(
                f"Kubernetes does not let us {verb} Secret {name} in namespace {self.namespace}: allow this service"
                " account to get and create secrets."
            )
        return UserError(
            f"Kubernetes did not {verb} Secret {name} in namespace {self.namespace} ({_reason(error)});"
            " mend the cause and try again."
        )


def read_plans(path: Path) -> list[SecretPlan]:
    """The Secrets that a YAML or JSON file lists.

    Raises:
        UserError: the file cannot be read or is no such list; names the entry.
    """
    try:
        listed = yaml.safe_load(path.read_text(encoding="utf-8"))
        return TypeAdapter(list[SecretPlan]).validate_python(listed or [])
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UserError(f"{path} cannot be read as a list of Secrets ({' '.join(str(error).split())}).") from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "the whole"
        raise UserError(f"{path} is no list of Secrets: entry {place}: {first['msg']}.") from None


def read_requirement(text: str) -> tuple[str, str]:
    """Name and key of `NAME:KEY`.

    Raises:
        UserError: it is not of that form.
    """
    name, _, key = text.partition(":")
    if not name or not key:
        raise UserError(f"--require {text!r} is not NAME:KEY, as in postgres-login:password.")
    return name, key


def create_secrets(store: SecretStore, plans: Sequence[SecretPlan], required: Sequence[tuple[str, str]]) -> list[str]:
    """Look for the required ones first, so that nothing is created in vain. Returns the names created.

    Raises:
        UserError: one is missing or incomplete, or the API server refuses.
    """
    for name, key in required:
        store.require(name, key)
    return [plan.name for plan in plans if store.ensure(plan)]


def open_secret_store(account: Path = kubernetes.ACCOUNT) -> SecretStore:
    """The Secrets of this pod's namespace.

    Raises:
        UserError: this process is not a pod with a service account's token.
    """
    from kubernetes.client import CoreV1Api

    namespace = kubernetes.connect(account)
    return SecretStore(CoreV1Api(), namespace)


def generate_password() -> str:
    """32 URL-safe characters."""
    return secrets.token_urlsafe(_PASSWORD_BYTES)


def generate_fernet_key() -> str:
    """A key of `cryptography.fernet`: 32 random bytes in URL-safe base64."""
    return base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()


def _status(error: Exception) -> int | None:
    """The HTTP status of an `ApiException`."""
    return getattr(error, "status", None)


def _reason(error: Exception) -> str:
    """What the API server says, or the error itself."""
    try:
        return str(json.loads(getattr(error, "body", "") or "")["message"])
    except (ValueError, KeyError, TypeError):
        return str(getattr(error, "reason", None) or error)
