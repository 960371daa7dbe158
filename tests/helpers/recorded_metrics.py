"""What the stores' operators and Airflow served on a cluster, for the queries of the chart's dashboards and alerts.

Recorded by Prometheus 3.8 with CloudNativePG 1.30.0, Strimzi 1.2.0 and K8ssandra 1.32.5, without the labels that no
query uses. Of Airflow 3.3, which sends its metrics, only the names are kept.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

FOLDER = Path(__file__).with_suffix("")
STORES = ("postgres", "kafka", "cassandra")


def read_names(source: str) -> set[str]:
    """The names of the metrics of a store, or of `airflow`."""
    return {line.partition("{")[0] for line in (FOLDER / f"{source}.txt").read_text().splitlines()}


@contextmanager
def serve_recorded_metrics(store: str) -> Iterator[int]:
    """Serve the metrics of a store until the block ends. Yields the port."""
    content = (FOLDER / f"{store}.txt").read_bytes()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
