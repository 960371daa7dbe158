"""A fake of Airflow's API server, with one login, one DAG and its runs."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler
from typing import Any

from tests.helpers.http_server import serve_http

DAG = "redrive_quarantine"
RUN = {
    "dag_run_id": "manual__1",
    "state": "running",
    "run_type": "manual",
    "start_date": "2026-11-21T18:00:00.123Z",
    "end_date": None,
    "conf": {"reason": "BAD_EMAIL"},
    "logical_date": None,
}
Answer = tuple[int, str]
"""Status and body."""


class FakeAirflow:
    """The server's state and the requests it received. A function in `overrides` answers requests to its path."""

    def __init__(self) -> None:
        self.address = ""
        self.logins = 0
        self.valid_token = ""
        self.rejection_status = 401
        self.allowed = True
        self.runs: list[dict[str, Any]] = [RUN]
        self.triggered: list[Any] = []
        self.requested: list[str] = []
        self.authorizations: list[str | None] = []
        self.overrides: dict[str, Callable[[], Answer]] = {}

    def answer(self, path: str, authorization: str | None, body: Any) -> Answer:
        self.requested.append(path)
        endpoint = path.partition("?")[0].removeprefix("/base")
        if endpoint in self.overrides:
            return self.overrides[endpoint]()
        if endpoint == "/auth/token":
            if body != {"username": "dashboard", "password": "secret"}:
                return 401, '{"detail": "Invalid credentials"}'
            self.logins += 1
            self.valid_token = f"token {self.logins}"
            return 201, json.dumps({"access_token": self.valid_token})
        self.authorizations.append(authorization)
        if authorization != f"Bearer {self.valid_token}":
            return self.rejection_status, '{"detail": "Token Expired"}'
        if not self.allowed:
            return 403, '{"detail": "Forbidden"}'
        if endpoint != f"/api/v2/dags/{DAG}/dagRuns":
            return 404, '{"detail": "Dag with dag_id: \'x\' not found"}'
        if body is None:
            return 200, json.dumps({"dag_runs": self.runs})
        self.triggered.append(body)
        return 200, json.dumps(RUN | {"dag_run_id": "manual__2"})


@contextmanager
def serve_airflow() -> Iterator[FakeAirflow]:
    """Serve a fake on a free port until the block ends."""
    fake = FakeAirflow()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer(None)

        def do_POST(self) -> None:
            self._answer(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

        def _answer(self, body: Any) -> None:
            status, text = fake.answer(self.path, self.headers.get("Authorization"), body)
            self.send_response(status)
            if 300 <= status < 400:
                self.send_header("Location", "/elsewhere")
            self.end_headers()
            with suppress(BrokenPipeError):
                self.wfile.write(text.encode())

        def log_message(self, *_: Any) -> None:
            """Keep the output of the tests clean."""

    with serve_http(Handler) as fake.address:
        yield fake
