"""The HTTP endpoints `/healthz`, `/readyz` and `/metrics` of a long-running process."""

import sys
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.exposition import choose_encoder

from insights.errors import UserError

Check = Callable[[], str | None]
"""Returns why the probe fails, or None if it succeeds."""
MAX_HEARTBEAT_AGE_SECONDS = 120
"""A loop records a heartbeat more often than this, whatever it waits for."""


class LoopMetrics(ABC):
    """The registry of a process that is a loop, with the process's own metrics, and the loop's liveness."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._heartbeat_at = clock()
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)

    def record_heartbeat(self) -> None:
        """Record that the loop is making progress."""
        self._heartbeat_at = self._clock()

    def explain_liveness_failure(self) -> str | None:
        """Why the process should be restarted, or None."""
        age = self._clock() - self._heartbeat_at
        return f"no progress for {age:.0f} s" if age > MAX_HEARTBEAT_AGE_SECONDS else None

    @abstractmethod
    def explain_readiness_failure(self) -> str | None:
        """Why the process cannot work, or None."""


class _QuietServer(ThreadingHTTPServer):
    """A server that does not log clients that hang up before they have the answer, as a probe does at its timeout."""

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class ProbeServer:
    """Serves probes and metrics from a background thread; a failing probe answers 503 and its reason.

    Exemplars are served only to clients that accept OpenMetrics, because the text format has none.
    """

    def __init__(
        self,
        host: str,
        port: int,
        setting: str,
        registry: CollectorRegistry,
        *,
        healthz: Check | None = None,
        readyz: Check | None = None,
    ) -> None:
        """Start to listen on `port`, or on any free port if it is 0; `setting` names the variable that sets it.

        Without its check, a probe does not exist.

        Raises:
            UserError: the process cannot listen on the port.
        """
        checks = {path: check for path, check in (("/healthz", healthz), ("/readyz", readyz)) if check}

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                path = self.path.partition("?")[0]
                if path == "/metrics":
                    encode, content_type = choose_encoder(self.headers.get("Accept", ""))
                    self._answer(200, encode(registry), content_type)
                elif path in checks:
                    reason = checks[path]()
                    self._answer(503 if reason else 200, f"{reason or 'ok'}\n".encode(), "text/plain; charset=utf-8")
                else:
                    paths = ", ".join([*checks, "/metrics"])
                    self._answer(404, f"not found: these exist: {paths}\n".encode(), "text/plain; charset=utf-8")

            def log_message(self, *_: object) -> None:
                pass

            def _answer(self, status: int, body: bytes, content_type: str) -> None:
                self.send_response(status)
                self.send_header("Content-Type", content_type)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        try:
            self._server = _QuietServer((host, port), Handler)
        except OSError as error:
            raise UserError(
                f"Port {port} on {host} cannot serve probes and metrics ({error.strerror});"
                f" stop the process that uses it or set {setting} to a free port."
            ) from None
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, name="probes", daemon=True).start()

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()
