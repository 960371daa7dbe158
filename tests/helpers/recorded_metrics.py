"""What the stores' operators and Airflow served on a cluster, for the queries of the chart's dashboards and alerts.

Recorded by Prometheus 3.8 with CloudNativePG 1.30.0, Strimzi 1.2.0 and K8ssandra 1.32.5, without the labels that no
query uses. Of Airflow 3.3, which sends its metrics, only the names are kept.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler
from pathlib import Path

from tests.helpers.http_server import serve_http

FOLDER = Path(__file__).with_suffix("")
STORES = ("postgres", "kafka", "cassandra")


def read_names(source: str) -> set[str]:
    """The names of the metrics of a store, or of `airflow`."""
    return {line.partition("{")[0] for line in (FOLDER / f"{source}.txt").read_text().splitlines()}


class _Handler(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Keep the output of the tests clean."""


@contextmanager
def serve_recorded_metrics() -> Iterator[str]:
    """Serve the metrics of each store at `/<store>.txt` until the block ends. Yields the address."""
    with serve_http(partial(_Handler, directory=FOLDER)) as address:
        yield address
