"""A collector that takes spans by OTLP over HTTP, as a server of the test's own."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from typing import NamedTuple

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from tests.helpers.http_server import serve_http
from tests.helpers.support import eventually


class ReceivedSpan(NamedTuple):
    """A span as the collector received it; ids are in hexadecimal."""

    service: str
    name: str
    trace_id: str
    span_id: str
    parent_id: str
    links: list[tuple[str, str]]
    attributes: dict[str, str | int]
    failed: bool
    nanoseconds: tuple[int, int]


class Collector:
    """What has been received, and how requests are answered from now on: with `status`, once `answering` is set."""

    def __init__(self) -> None:
        self.spans: list[ReceivedSpan] = []
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.status = 200
        self.answering = threading.Event()
        self.answering.set()
        self.address = ""

    def wait(self, count: int) -> list[ReceivedSpan]:
        """The received spans, once there are so many."""
        return eventually(lambda: self.spans if len(self.spans) >= count else [], 60, f"{count} spans did not arrive")

    def receive(self, path: str, headers: dict[str, str], body: bytes) -> None:
        self.requests.append((path, headers))
        if self.status != 200:
            return
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            [service] = [item.value.string_value for item in resource.resource.attributes if item.key == "service.name"]
            self.spans += [_read_span(service, span) for scope in resource.scope_spans for span in scope.spans]


@contextmanager
def collecting() -> Iterator[Collector]:
    """Run a collector until the block ends."""
    collector = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            collector.answering.wait()
            collector.receive(self.path, dict(self.headers), body)
            self.send_response(collector.status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with serve_http(Handler) as collector.address:
        try:
            yield collector
        finally:
            collector.answering.set()


def _read_span(service: str, span: Span) -> ReceivedSpan:
    values = {item.key: item.value for item in span.attributes}
    return ReceivedSpan(
        service,
        span.name,
        span.trace_id.hex(),
        span.span_id.hex(),
        span.parent_span_id.hex(),
        [(link.trace_id.hex(), link.span_id.hex()) for link in span.links],
        {
            key: value.string_value if value.HasField("string_value") else value.int_value
            for key, value in values.items()
        },
        span.status.code == Status.STATUS_CODE_ERROR,
        (span.start_time_unix_nano, span.end_time_unix_nano),
    )
