"""HTTP requests to the platform's own servers, which bypass the environment's proxy."""

import json
import urllib.request
from typing import Any

_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def is_answering(url: str, timeout_seconds: float = 2) -> bool:
    """True when `url` answers with a status below 400; otherwise raises urllib's error."""
    with _opener.open(url, timeout=timeout_seconds):
        return True


def request_json(
    url: str, body: object = None, token: str | None = None, timeout_seconds: float = 20
) -> dict[str, Any]:
    """The decoded answer to a GET, or to a POST of `body` as JSON.

    Raises:
        OSError: the server does not answer; `urllib.error.HTTPError` for a status of 400 and above.
    """
    headers = {"Content-Type": "application/json"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    data = None if body is None else json.dumps(body).encode()
    with _opener.open(urllib.request.Request(url, data, headers), timeout=timeout_seconds) as answer:
        decoded: dict[str, Any] = json.load(answer)
        return decoded
