"""Generated secrets of one installation, kept in its state directory."""

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
    """What Airflow needs to keep over restarts."""

    airflow_password: str
    airflow_dashboard_password: str
    airflow_api_key: str
    airflow_jwt_key: str
    fernet_key: str

    @classmethod
    def kept_in(cls, path: Path) -> Self:
        """Read the file, or generate and write it, readable by its owner only. What a later version added is generated.

        Raises:
            UserError: the file is not what we wrote.
        """
        if not path.exists():
            fresh = cls(
                airflow_password=secrets.token_urlsafe(12),
                airflow_dashboard_password=secrets.token_urlsafe(12),
                airflow_api_key=secrets.token_urlsafe(32),
                airflow_jwt_key=secrets.token_urlsafe(48),
                fernet_key=base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
            )
            return fresh._written(path)
        try:
            found = json.loads(path.read_text())
            kept = cls(**{"airflow_dashboard_password": secrets.token_urlsafe(12)} | found)
        except (ValueError, TypeError):
            raise UserError(f"{path} is damaged: run `insights reset` to start afresh.") from None
        return kept if asdict(kept) == found else kept._written(path)

    def _written(self, path: Path) -> Self:
        write_private(path, json.dumps(asdict(self), indent=1))
        return self


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner may read, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.unlink(missing_ok=True)
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    temporary.replace(path)
