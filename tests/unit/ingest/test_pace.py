"""The pace against a source with a quota, on a clock that only the test advances."""

from datetime import UTC, datetime, timedelta

import pytest

from insights.ingest.pace import MAX_WAIT_SECONDS, PROBE_SECONDS, Pace
from insights.simulator.quota import Quota

START = datetime(2026, 1, 1, tzinfo=UTC)
PAGE = 5000


class QuotaSource:
    """The API's own quota, and what a client that keeps to a pace experiences."""

    def __init__(self, rows: int = 20_000, seconds: float = 300, offset: float = 0) -> None:
        self.seconds = 0.0
        self._quota = Quota(rows, seconds, lambda: self.seconds + offset)
        if offset:
            self._quota._started = 0.0
        self.pace = Pace(START, START)
        self.answered: list[float] = []
        self.refused: list[float] = []

    @property
    def now(self) -> datetime:
        return START + timedelta(seconds=self.seconds)

    def fetch(self, rows: int = PAGE) -> None:
        while True:
            while wait := self.pace.reserve(rows, self.now):
                self.seconds += wait
            self.seconds += 2
            if self._quota.take("client", rows):
                self.pace.record_answer(rows, self.now)
                self.answered.append(self.seconds)
                return
            self.refused.append(self.seconds)
            self.pace.record_refusal(rows, self.now, None)


@pytest.mark.parametrize("offset", [0, 1, 60, 150, 200, 270, 299])
@pytest.mark.parametrize("rows", [1000, 3000, 5000])
def test_a_quota_that_was_met_is_seldom_met_again_and_mostly_used(offset: float, rows: int) -> None:
    source = QuotaSource(offset=offset)
    windows = 50
    for _ in range(windows * 20_000 // rows):
        source.fetch(rows)
    assert sum(second < 1500 for second in source.refused) < 14
    assert sum(second > 1500 for second in source.refused) <= windows / 5
    assert source.answered[-1] < windows * 300 * 1.3


def test_without_a_quota_nothing_waits() -> None:
    source = QuotaSource(rows=10**9)
    for _ in range(500):
        source.fetch()
    assert source.seconds == 1000
    assert source.refused == []


def test_a_refusal_that_says_how_long_is_followed_by_no_request_before() -> None:
    pace = Pace(START, START)
    assert pace.reserve(PAGE, START) == 0
    pace.record_refusal(PAGE, START, 3600)
    assert pace.reserve(PAGE, START + timedelta(seconds=3599)) == 1
    assert pace.reserve(PAGE, START + timedelta(seconds=3600)) == 0


def test_an_absurd_wait_is_a_day() -> None:
    pace = Pace(START, START)
    pace.record_refusal(PAGE, START, 999_999_999)
    assert pace.reserve(PAGE, START) == MAX_WAIT_SECONDS


def test_after_a_refusal_one_request_probes_the_source_and_the_others_wait_for_it() -> None:
    pace, later = Pace(START, START), START + timedelta(seconds=PROBE_SECONDS)
    pace.record_refusal(PAGE, START, None)
    assert pace.reserve(PAGE, later) == 0
    assert 0 < pace.reserve(PAGE, later) < PROBE_SECONDS
    pace.record_answer(PAGE, later)
    assert pace.reserve(PAGE, later) == 0


def test_an_answer_to_a_request_before_the_refusal_does_not_end_the_wait() -> None:
    pace = Pace(START, START)
    assert pace.reserve(PAGE, START) == pace.reserve(PAGE, START) == 0
    pace.record_refusal(PAGE, START, None)
    pace.record_answer(PAGE, START + timedelta(seconds=1))
    assert pace.reserve(PAGE, START + timedelta(seconds=1)) == PROBE_SECONDS - 1


def test_tasks_that_wait_are_spread_over_the_windows_to_come() -> None:
    pace = Pace(START, START, used=20_000, quota_rows=20_000, quota_seconds=300, met_at=START)
    waits = [pace.reserve(PAGE, START) for _ in range(10)]
    assert waits == [300] * 4 + [600] * 4 + [900] * 2
    later = START + timedelta(seconds=300)
    assert [pace.reserve(PAGE, later) for _ in range(5)] == [0, 0, 0, 0, 600]


def test_a_quota_is_forgotten_after_a_day() -> None:
    pace = Pace(START, START, used=20_000, quota_rows=20_000, quota_seconds=300, met_at=START)
    assert pace.reserve(PAGE, START + timedelta(days=1, seconds=1)) == 0
    assert pace.quota_rows is None


def test_a_quota_is_not_measured_by_a_request_long_after_the_pause() -> None:
    pace = Pace(START, START)
    assert pace.reserve(PAGE, START) == pace.reserve(PAGE, START) == 0
    pace.record_refusal(PAGE, START, None)
    tomorrow = START + timedelta(hours=9)
    assert pace.reserve(PAGE, tomorrow) == 0
    pace.record_answer(PAGE, tomorrow)
    assert pace.quota_rows is None
