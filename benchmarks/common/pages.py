"""A server of pages that are generated beforehand, so that the source costs next to nothing."""

import gzip
import json
import multiprocessing
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from multiprocessing.connection import Connection
from urllib.parse import parse_qs, urlsplit

from insights.simulator.formats import list_nationalities
from insights.simulator.people import Crowd, generate_people

SEED = "benchmark"


@contextmanager
def serve_pages(pages: int, page_size: int, first: int = 1) -> Iterator[str]:
    """The address of a server of `pages` pages of `SEED` from the page `first` on, compressed as the API does."""
    receiver, sender = multiprocessing.Pipe(duplex=False)
    process = multiprocessing.get_context("spawn").Process(
        target=_serve, args=(sender, range(first, first + pages), page_size), daemon=True, name="pages"
    )
    process.start()
    try:
        yield f"http://127.0.0.1:{receiver.recv()}/api/1.4/"
    finally:
        process.terminate()
        process.join()


def _serve(ready: Connection, pages: range, page_size: int) -> None:
    bodies = {str(page): gzip.compress(_generate_page(page, page_size), 6) for page in pages}

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            body = bodies[parse_qs(urlsplit(self.path).query)["page"][0]]
            self.send_response(200)
            self.send_header("Content-Type", "application/json; charset=utf-8")
            self.send_header("Content-Encoding", "gzip")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None: ...

    server = HTTPServer(("127.0.0.1", 0), Handler)
    ready.send(server.server_port)
    server.serve_forever()


def _generate_page(page: int, page_size: int) -> bytes:
    people = list(generate_people(Crowd("1.4", SEED, page, tuple(list_nationalities("1.4"))), page_size))
    document = {"results": people, "info": {"seed": SEED, "results": page_size, "page": page, "version": "1.4"}}
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
