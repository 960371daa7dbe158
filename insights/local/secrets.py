"""The generated secrets of a platform, stored in its state directory."""

import base64
import json
import os
import secrets
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

from insights.errors import UserError


@dataclass(frozen=True)
class Secrets:
    """Airflow's passwords and keys, which have to survive restarts."""

    airflow_password: str
    airflow_dashboard_password: str
    airflow_api_key: str
    airflow_jwt_key: str
    fernet_key: str

    @classmethod
    def load_or_create(cls, path: Path) -> Self:
        """Read the file, or generate it. A secret that is missing from an older version's file is generated and added.

        Only the owner can read the file.

        Raises:
            UserError: the file is damaged.
        """
        if not path.exists():
            generated = cls(
                airflow_password=secrets.token_urlsafe(12),
                airflow_dashboard_password=secrets.token_urlsafe(12),
                airflow_api_key=secrets.token_urlsafe(32),
                airflow_jwt_key=secrets.token_urlsafe(48),
                fernet_key=base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
            )
            return generated._write(path)
        try:
            stored = json.loads(path.read_text())
            complete = cls(**{"airflow_dashboard_password": secrets.token_urlsafe(12)} | stored)
        except (ValueError, TypeError):
            raise UserError(f"{path} is damaged: run `insights reset` to start from scratch.") from None
        return complete if asdict(complete) == stored else complete._write(path)

    def _write(self, path: Path) -> Self:
        write_private(path, json.dumps(asdict(self), indent=1))
        return self


def write_private(path: Path, text: str) -> None:
    """Write a file atomically that only its owner can read."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.unlink(missing_ok=True)
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    temporary.replace(path)
