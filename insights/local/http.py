"""Requests to our own servers on loopback, past any proxy of the environment."""

import json
import urllib.request
from typing import Any

_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def is_answering(url: str, timeout_seconds: float = 2) -> bool:
    """Whether `url` answers with a status below 400; raises what urllib raises when it does not answer."""
    with _opener.open(url, timeout=timeout_seconds):
        return True


def request_json(
    url: str, body: object = None, token: str | None = None, timeout_seconds: float = 20
) -> dict[str, Any]:
    """GET, or POST when there is a body; raises `urllib.error.HTTPError` for a status of 400 and above."""
    headers = {"Content-Type": "application/json"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    data = None if body is None else json.dumps(body).encode()
    with _opener.open(urllib.request.Request(url, data, headers), timeout=timeout_seconds) as answer:
        decoded: dict[str, Any] = json.load(answer)
        return decoded
