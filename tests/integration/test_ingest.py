"""A task of the ingest on a real database, against a source that refuses, is slow or fails."""

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from insights.clients import connections
from insights.clients.tracing import Attributes, NoSpans, Spans
from insights.ingest import pace
from insights.ingest import pages as ingest
from insights.ingest.pages import PageIngest, PostponedError, RunOfPages
from insights.queries.pipeline import read_hop_totals
from insights.settings import PostgresSettings
from insights.simulator import Fault, create_app
from insights.simulator.quota import Quota
from insights.source import FetchFailure, SourceClient, SourceError
from tests.helpers.simulator_server import Script, serving, settings
from tests.helpers.staged_pages import run_sql

SEED = "5eed000000000000"
NO_SPANS = NoSpans()
NOTHING = {"pages": 0, "fetched": 0, "staged": 0, "duplicates": 0, "quarantined": 0}


class CountedQuota(Quota):
    """A quota whose first period begins with the first request, and which counts what it allowed and refused."""

    def __init__(self, rows: int, seconds: float) -> None:
        super().__init__(rows, seconds)
        self.allowed = self.refused = 0

    def take(self, address: str, rows: int) -> bool:
        if not self.allowed:
            self._started = time.monotonic()
        allowed = super().take(address, rows)
        self.allowed, self.refused = self.allowed + allowed, self.refused + (not allowed)
        return allowed


@contextmanager
def serve(script: Script | None = None, quota: Quota | None = None) -> Iterator[str]:
    with serving(create_app(draw_fault=script or Script(), quota=quota)) as address:
        yield address


class CountedSpans(NoSpans):
    """Counts the spans of pages."""

    pages = 0

    def page(self, batch_id: str, /) -> AbstractContextManager[Attributes]:
        self.pages += 1
        return super().page(batch_id)


def attempt(
    postgres: PostgresSettings,
    address: str,
    pages: range,
    page_size: int = 10,
    run_id: str = "run",
    spans: Spans = NO_SPANS,
    **changes: Any,
) -> dict[str, int]:
    """One attempt of a task, as a process of its own would make it."""
    asked = RunOfPages("dag", run_id, SEED, pages, page_size)
    with (
        SourceClient(settings(address, **changes), sleep=lambda _: None) as client,
        closing(connections.connect_postgres(postgres, "ingest")) as connection,
    ):
        return PageIngest(client, connection, asked, spans).run()


def staged(count: int, **changes: int) -> dict[str, int]:
    """The report of a run that staged so many pages of ten records."""
    return {**NOTHING, "pages": count, "fetched": 10 * count, "staged": 10 * count, "skipped": 0, **changes}


@pytest.mark.parametrize("longest_sleep", [0, 60], ids=["rescheduled", "asleep"])
def test_a_task_larger_than_the_quota_ends_and_fetches_no_page_twice(
    postgres: PostgresSettings, monkeypatch: pytest.MonkeyPatch, longest_sleep: float
) -> None:
    monkeypatch.setattr(pace, "PROBE_SECONDS", 0.2)
    monkeypatch.setattr(ingest, "MAX_SLEEP_SECONDS", longest_sleep)
    quota, waits, report = CountedQuota(20, 3), 0, None
    with serve(quota=quota) as address:
        while report is None:
            try:
                report = attempt(postgres, address, range(1, 7))
            except PostponedError as postponed:
                waits += 1
                time.sleep(max(0, (postponed.until - datetime.now(UTC)).total_seconds()))
    assert report == staged(6)
    assert quota.allowed == 6
    assert quota.refused > 0
    assert (waits > 0) == (longest_sleep == 0)
    [(rows, seconds)] = run_sql(postgres, "SELECT quota_rows, quota_seconds FROM staging.source_pace")
    assert rows == 20
    assert seconds is not None


def test_a_wait_that_the_source_announces_is_known_to_every_task(
    postgres: PostgresSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("insights.simulator.responses.RETRY_AFTER_SECONDS", 3600)
    script, spans = Script(forever=Fault.RATE_LIMITED), CountedSpans()
    with serve(script) as address:
        for pages in (range(1, 4), range(1, 4), range(4, 6)):
            with pytest.raises(PostponedError, match=r"takes no request for 3[56]\d\d s; the task goes on") as caught:
                attempt(postgres, address, pages, spans=spans)
            assert timedelta(minutes=59) < caught.value.until - datetime.now(UTC) < timedelta(minutes=61)
    assert (script.requests, spans.pages) == (1, 1)
    with closing(connections.connect_postgres(postgres, "tests")) as connection, connection.cursor() as cursor:
        resumes_at = read_hop_totals(cursor, "topic").source_resumes_at
    assert resumes_at is not None
    assert abs(resumes_at - caught.value.until) < timedelta(seconds=1)


def test_a_slow_source_costs_an_attempt_only_if_it_staged_nothing(postgres: PostgresSettings) -> None:
    script = Script([Fault.DRIP, None, None, Fault.DRIP, None, None, None])
    with serve(script) as address:
        with pytest.raises(SourceError) as caught:
            attempt(postgres, address, range(1, 6), deadline_seconds=0.5)
        assert (caught.value.reason, caught.value.retryable) == (FetchFailure.DEADLINE, True)
        with pytest.raises(PostponedError, match="DEADLINE: page 3 of seed"):
            attempt(postgres, address, range(1, 6), deadline_seconds=4)
        assert attempt(postgres, address, range(1, 6), deadline_seconds=60) == staged(5)
    assert script.requests == 7


def test_a_permanent_failure_is_not_postponed(postgres: PostgresSettings) -> None:
    script = Script([None, Fault.BOMB])
    with serve(script) as address, pytest.raises(SourceError) as caught:
        attempt(postgres, address, range(1, 3), max_bytes=100_000)
    assert (caught.value.reason, caught.value.retryable) == (FetchFailure.TOO_LARGE, False)


def test_a_run_with_other_parameters_over_the_same_date_reports_its_own_records(postgres: PostgresSettings) -> None:
    script = Script()
    with serve(script) as address:
        assert attempt(postgres, address, range(1, 3), run_id="first") == staged(2)
        larger = attempt(postgres, address, range(1, 3), 20, run_id="larger")
        assert {name: larger[name] for name in ("pages", "fetched", "skipped")} == {
            "pages": 2,
            "fetched": 40,
            "skipped": 0,
        }
        assert larger["staged"] + larger["duplicates"] == 40
        french = attempt(postgres, address, range(1, 2), run_id="french", nationalities="FR")
        assert (french["pages"], french["fetched"]) == (1, 10)
        requests = script.requests
        assert attempt(postgres, address, range(1, 3), run_id="again") == {**NOTHING, "skipped": 2}
        assert attempt(postgres, address, range(1, 3), run_id="first") == staged(2)
        assert attempt(postgres, address, range(1, 4), run_id="longer") == staged(1, skipped=2)
    assert script.requests == requests + 1


def test_a_page_staged_before_the_upgrade_stays_and_its_records_are_duplicates(postgres: PostgresSettings) -> None:
    with serve() as address:
        attempt(postgres, address, range(1, 2), run_id="old")
        old = f"{SEED}/1"
        for table in ("batches", "users", "user_keys"):
            run_sql(postgres, f"UPDATE staging.{table} SET batch_id = %s", old)
        assert attempt(postgres, address, range(1, 2), run_id="new") == staged(1, staged=0, duplicates=10)
    assert run_sql(postgres, "SELECT batch_id, run_id, staged FROM staging.batches ORDER BY 1") == [
        (old, "old", 10),
        (f"{old}?results=10", "new", 0),
    ]
