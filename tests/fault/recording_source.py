"""A source between simulator and platform, which records what it has served and spoils some records on the way."""

import hashlib
import json
import threading
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from typing import Any

from tests.fault.flow_state import ServedPage
from tests.helpers.http_server import serve_http

Record = dict[str, Any]
UPSTREAM_SECONDS = 60
SPOILED_EVERY = 40
REPEATED_EVERY = 100

LEVELS = 40
"""Of nesting in a record that cannot be staged; nothing else that the source serves has more than four."""


def _nest(record: Record) -> Record:
    nested: Any = None
    for _ in range(LEVELS - 1):
        nested = [nested]
    return record | {"nested": nested}


SPOILS: tuple[Callable[[Record], Record], ...] = (
    _nest,
    lambda record: record | {"gender": "unknown"},
    lambda record: record | {"nat": "XX"},
    lambda record: record | {"email": "nobody"},
    lambda record: record | {"dob": {"date": "never"}},
    lambda record: record | {"name": record["name"] | {"first": None}},
)
"""Each breaks one rule, and leaves the record's key as it is. The first one's records cannot be staged."""


def spoil_records(records: list[Record]) -> list[Record]:
    """Break a rule in every `SPOILED_EVERY`th record, and repeat every `REPEATED_EVERY`th: always the same."""
    changed = list(records)
    for number, position in enumerate(range(SPOILED_EVERY - 1, len(records), SPOILED_EVERY)):
        changed[position] = SPOILS[number % len(SPOILS)](records[position])
    for position in range(REPEATED_EVERY - 2, len(records) - 1, REPEATED_EVERY):
        changed[position + 1] = changed[position]
    return changed


def is_stageable(record: Record) -> bool:
    """Whether the record can be staged; otherwise it is put into quarantine when its page is."""
    return "nested" not in record


def encode(document: Any) -> bytes:
    """The bytes with which a page, or a record in it, is served."""
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()


class RecordingSource:
    """Passes requests on to the simulator at `upstream`, which may be down; records each page before it sends it."""

    def __init__(self, upstream: str) -> None:
        self._upstream = upstream.rstrip("/")
        self._lock = threading.Lock()
        self.served: dict[str, ServedPage] = {}
        """By batch id."""

    def fetch(self, path: str) -> tuple[int, bytes]:
        """The simulator's status and body; 503 while it does not answer."""
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(self._upstream + path, timeout=UPSTREAM_SECONDS) as response:
                return response.status, response.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()
        except OSError:
            return 503, b""

    def record(self, name: str, page: ServedPage) -> None:
        """Keep a page that is about to be sent.

        Raises:
            AssertionError: the page was sent before with other content, so that the test itself is wrong.
        """
        with self._lock:
            assert self.served.setdefault(name, page) == page, f"page {name} was served with two contents"


def _name_batch(path: str) -> str:
    """The batch id of the page: its seed and number, and the other parameters of the request."""
    asked = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(path).query))
    seed, page = asked.pop("seed", None), asked.pop("page", None)
    asked.pop("format", None)
    return f"{seed}/{page}?{'&'.join(f'{name}={value}' for name, value in asked.items())}"


def _make_handler(source: RecordingSource) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            status, body = source.fetch(self.path)
            page = None
            if status == 200 and "/api/" in self.path:
                document = json.loads(body)
                document["results"] = spoil_records(document["results"])
                body = encode(document)
                page = ServedPage(document["results"], hashlib.sha256(body).hexdigest())
            self.send_response(status)
            self.send_header("Content-Type", "application/json; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if page is not None:
                source.record(_name_batch(self.path), page)
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    return Handler


@contextmanager
def serve_recorded(upstream: str, port: int = 0) -> Iterator[tuple[RecordingSource, str]]:
    """Serve on a loopback port; yields the source and its address, without a path."""
    source = RecordingSource(upstream)
    with serve_http(_make_handler(source), port) as address:
        yield source, address
