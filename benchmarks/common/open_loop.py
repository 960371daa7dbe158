"""Pages staged at fixed times, whatever becomes of them, and the time until Cassandra has a record of each."""

import json
import threading
import time
from collections.abc import Sequence
from contextlib import closing
from uuid import UUID

from cassandra.cluster import Session
from cassandra.concurrent import execute_concurrent_with_args
from pydantic import AnyHttpUrl

from benchmarks.common.pages import SEED
from insights.clients import connections
from insights.model.schema import find_id_bucket
from insights.settings import PostgresSettings, SourceSettings
from insights.source import SourceClient
from insights.staging.load import load_page

POLL_SECONDS = 0.05
PATIENCE_SECONDS = 120.0


class OpenLoop:
    """The staging of pages at fixed times.

    `committed` has, for the last record of each page, the time at which the page was committed, in seconds of
    `time.monotonic`.
    """

    def __init__(self, postgres: PostgresSettings, url: str, pages: Sequence[int], page_size: int) -> None:
        settings = SourceSettings(url=AnyHttpUrl(url), page_size=page_size, deadline_seconds=120)
        with SourceClient(settings) as source:
            self._pages = [source.fetch_page(SEED, page) for page in pages]
        self._postgres = postgres
        self._ended = threading.Event()
        self.error: Exception | None = None
        self.committed: dict[UUID, float] = {}

    @property
    def ended(self) -> bool:
        """Whether every page is staged, or staging one failed."""
        return self._ended.is_set()

    def start(self, pages_per_second: float) -> None:
        """Stage the pages on a thread, beginning now. A page that is late does not delay those after it."""
        threading.Thread(target=self._stage, args=(1 / pages_per_second,), daemon=True, name="staging").start()

    def _stage(self, interval: float) -> None:
        try:
            with closing(connections.connect_postgres(self._postgres, "benchmark")) as connection:
                due = time.monotonic()
                for page in self._pages:
                    time.sleep(max(0.0, due - time.monotonic()))
                    due += interval
                    load_page(connection, page, "benchmark", "benchmark")
                    last = UUID(json.loads(page.records[-1])["login"]["uuid"])
                    self.committed[last] = time.monotonic()
        except Exception as error:
            self.error = error
        finally:
            self._ended.set()


def watch(loop: OpenLoop, session: Session) -> dict[UUID, float]:
    """Poll Cassandra for the records of `loop.committed` until it has all of them. Returns the seconds that each took.

    Each poll asks for the records that were not readable before.

    Raises:
        RuntimeError: pages were not staged, or a record was not readable in time.
    """
    query = session.prepare("SELECT user_id FROM user_profiles_by_id WHERE id_bucket = ? AND user_id = ?")
    seconds: dict[UUID, float] = {}
    ended_at = float("inf")
    while True:
        ended, committed = loop.ended, dict(loop.committed)
        waiting = [record for record in committed if record not in seconds]
        if ended and not waiting:
            break
        ended_at = min(ended_at, time.monotonic()) if ended else ended_at
        if time.monotonic() > ended_at + PATIENCE_SECONDS:
            raise RuntimeError(f"{len(waiting)} records were not readable {PATIENCE_SECONDS:.0f} s after the last page")
        keys = [(find_id_bucket(record), record) for record in waiting]
        answers = execute_concurrent_with_args(session, query, keys)
        readable = {row.user_id for _, answer in answers for row in answer}
        now = time.monotonic()
        seconds |= {record: now - committed[record] for record in waiting if record in readable}
        time.sleep(POLL_SECONDS)
    if loop.error:
        raise RuntimeError(f"pages were not staged: {loop.error}") from loop.error
    return seconds
