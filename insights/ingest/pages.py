"""Fetch pages that staging does not hold yet, and stage them one by one."""

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from psycopg2.extensions import connection as PgConnection

from insights.clients.sql import fetch_row
from insights.clients.tracing import Spans
from insights.ingest.pacer import Pacer
from insights.source import FetchedPage, FetchFailure, SourceClient, SourceError
from insights.staging.load import is_loaded, load_page

MAX_SLEEP_SECONDS = 30.0
"""A longer wait for the source ends the task's process, so that it holds no pod meanwhile."""
_PAUSE_SECONDS = 20.0
"""The pause of a task that made progress before its source failed."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RunOfPages:
    """What a task was asked for: pages of `page_size` rows (None: as configured) of a seed, for a run of a DAG."""

    dag_id: str
    run_id: str
    seed: str
    pages: Sequence[int]
    page_size: int | None = None


class PostponedError(Exception):
    """The task has to go on at `until`, because the source is not available before or failed after some pages."""

    def __init__(self, until: datetime, reason: str) -> None:
        super().__init__(f"{reason}; the task goes on at {until:%Y-%m-%d %H:%M:%S} UTC")
        self.until = until


class PageIngest:
    """Stages the pages of a run. A page that staging holds already, from this run or another, is not fetched."""

    def __init__(self, source: SourceClient, connection: PgConnection, run: RunOfPages, spans: Spans) -> None:
        self._source, self._connection, self._run, self._spans = source, connection, run, spans
        self._pacer = Pacer(connection, source.address)
        self._staged_pages = 0

    def run(self) -> dict[str, int]:
        """Stage the pages. Returns the totals of those that this run staged, in all its attempts together.

        `skipped` is the number of pages that another run staged before.

        Raises:
            PostponedError: the source asks for a longer wait, or failed temporarily after this call had staged pages.
            SourceError: the source failed.
        """
        run = self._run
        rows = self._source.count_rows(run.page_size)
        batch_ids = [self._source.name_batch(run.seed, page, run.page_size) for page in run.pages]
        for page, batch_id in zip(run.pages, batch_ids, strict=True):
            if not is_loaded(self._connection, batch_id):
                self._wait_for_turn(rows)
                with self._spans.page(batch_id) as attributes:
                    loaded = load_page(self._connection, self._fetch(page, rows), run.dag_id, run.run_id)
                    attributes |= {"insights.fetched": loaded.fetched, "insights.staged": loaded.staged}
                self._staged_pages += 1
        return self._sum_pages(batch_ids)

    def _fetch(self, page: int, rows: int) -> FetchedPage:
        """Request the page, whose turn it is, until the source answers."""
        while True:
            try:
                fetched = self._source.fetch_page(self._run.seed, page, self._run.page_size)
            except SourceError as error:
                self._record_failure(error, rows)
                self._wait_for_turn(rows)
            else:
                self._pacer.record_answer(rows)
                return fetched

    def _wait_for_turn(self, rows: int) -> None:
        while True:
            seconds, now = self._pacer.reserve(rows)
            if seconds == 0:
                return
            until = now + timedelta(seconds=seconds)
            if seconds > MAX_SLEEP_SECONDS:
                raise PostponedError(until, f"{self._source.address} takes no request for {seconds:.0f} s")
            _log.info("%s takes no request for %.1f s", self._source.address, seconds)
            time.sleep(seconds)

    def _record_failure(self, error: SourceError, rows: int) -> None:
        """Return if the page is to be requested again in its turn.

        Raises:
            PostponedError: the error is temporary and pages were staged before it.
            SourceError: any other error that does not say when to try again.
        """
        if error.reason is FetchFailure.RATE_LIMITED:
            self._pacer.record_refusal(rows, error.retry_after)
        elif error.retryable and error.retry_after:
            self._pacer.record_pause(error.retry_after)
        elif error.retryable and self._staged_pages:
            raise PostponedError(self._read_clock() + timedelta(seconds=_PAUSE_SECONDS), str(error)) from None
        else:
            raise error
        _log.warning("%s", error)

    def _read_clock(self) -> datetime:
        with self._connection, self._connection.cursor() as cursor:
            cursor.execute("SELECT clock_timestamp()")
            now: datetime = fetch_row(cursor)[0]
            return now

    def _sum_pages(self, batch_ids: Sequence[str]) -> dict[str, int]:
        with self._connection, self._connection.cursor() as cursor:
            cursor.execute(
                """
                SELECT count(*), coalesce(sum(fetched), 0), coalesce(sum(staged), 0), coalesce(sum(duplicates), 0),
                       coalesce(sum(quarantined), 0)
                FROM staging.batches WHERE batch_id = ANY(%s) AND (dag_id, run_id) = (%s, %s)
                """,
                (list(batch_ids), self._run.dag_id, self._run.run_id),
            )
            pages, fetched, staged, duplicates, quarantined = map(int, fetch_row(cursor))
        return {
            "pages": pages,
            "fetched": fetched,
            "staged": staged,
            "duplicates": duplicates,
            "quarantined": quarantined,
            "skipped": len(batch_ids) - pages,
        }
