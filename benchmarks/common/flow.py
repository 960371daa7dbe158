"""Stage generated pages, measure from the continuation of a stopped process, and follow the stream's deliveries."""

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from urllib.request import urlopen

import psutil
from psycopg2.extensions import connection as PgConnection
from pydantic import AnyHttpUrl

from benchmarks.common.pages import SEED
from benchmarks.common.rounds import Turn, measure
from benchmarks.common.servers import wait_until
from insights.clients import connections
from insights.ledger.check import check_ledger
from insights.settings import PostgresSettings, SourceSettings, StoreSettings
from insights.source import SourceClient
from insights.staging.load import load_page

_SAMPLE = re.compile(r'^insights_stream_(\w+)(?:\{\w+="(\w+)"\})? (\S+)$', re.MULTILINE)
CHECK_SECONDS = 120.0


def load_pages(connection: PgConnection, url: str, pages: Sequence[int], page_size: int) -> None:
    """Fetch these pages from a server of `serve_pages` and stage them, as a task of `ingest_users` does."""
    with SourceClient(SourceSettings(url=AnyHttpUrl(url), page_size=page_size, deadline_seconds=120)) as source:
        for page in pages:
            load_page(connection, source.fetch_page(SEED, page), "benchmark", "benchmark")


def stage_pages(postgres: PostgresSettings, url: str, pages: Sequence[int], page_size: int) -> None:
    """`load_pages` on a connection of its own."""
    with closing(connections.connect_postgres(postgres, "benchmark")) as connection:
        load_pages(connection, url, pages, page_size)


def measure_backlog(
    pid: int, write: Callable[[], object], wait: Callable[[], object], pids: Mapping[str, int], records: int
) -> Turn:
    """Call `write` while a process is stopped by a signal; then measure from its continuation until `wait` returns.

    The process finds its backlog at once, without the cost of its start or that of writing the backlog.
    """
    process = psutil.Process(pid)
    process.suspend()
    try:
        write()

        def run() -> None:
            process.resume()
            wait()

        return measure(run, pids, records, counts_client=False, memory=True)
    finally:
        process.resume()


def read_metrics(url: str) -> dict[tuple[str, str], float]:
    """The stream's metrics, by name and the value of the only label, which is empty for a metric without one."""
    with urlopen(f"{url}/metrics", timeout=30) as answer:
        text = answer.read().decode()
    return {(name, label): float(value) for name, label, value in _SAMPLE.findall(text)}


def count_delivered(url: str) -> int:
    """The records that the stream has delivered to every sink since its start, and those that it has rejected."""
    return int(sum(value for (name, _), value in read_metrics(url).items() if name == "records_total"))


def wait_delivered(url: str, records: int) -> None:
    """Return when the stream has delivered so many records since its start.

    Raises:
        RuntimeError: it did not in time.
    """
    wait_until(lambda: count_delivered(url) >= records, f"the stream had not delivered {records:,} records", pause=0.2)


def require_closed_ledger(stores: StoreSettings) -> str:
    """Check every store against the one before it. Returns a sentence for the result.

    Raises:
        RuntimeError: the ledger does not close.
    """
    ledger = check_ledger(stores, CHECK_SECONDS)
    broken = [hop.sentence for hop in ledger.hops if not hop.equal]
    if broken:
        raise RuntimeError(f"the ledger does not close, so that no figure counts: {' '.join(broken)}")
    return f"the ledger closed over {len(ledger.hops)} comparisons of every store with the one before it"
