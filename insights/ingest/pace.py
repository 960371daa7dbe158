"""The pace of requests to a source that allows a number of rows per address and period, neither of which it announces.

A window begins with the first request that the source answers after a refusal. The rows requested in it until the next
refusal are the quota, and the time until the next window is its period. From then on, a request that would exceed the
quota waits for the next window that is not booked up. Such a window may begin within one of the source, so a refusal in
it corrects the beginning only. The quota is forgotten after a day.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

PROBE_SECONDS, MAX_PROBE_SECONDS = 60.0, 900.0
"""Shortest and longest pause after a refusal that does not say how long to wait. It is a quarter of the wait so far."""
MAX_WAIT_SECONDS = 86_400.0
"""Longest wait for a source, whatever it says: a request a day harms nobody."""
_IDLE = timedelta(minutes=10)
"""After a pause of this length, a burst of requests begins a window of its own."""
_RECHECK_SECONDS = 5.0
"""How long other tasks wait before they ask whether the request that probes the source was answered."""
_PROMPT = timedelta(minutes=5)
"""A period is measured only by a request that follows the end of the pause this soon."""
_REMEMBERED = timedelta(days=1)


@dataclass(slots=True)
class Pace:
    """The current window of a source, and its quota once that was met. Rows are those requested."""

    opened_at: datetime
    requested_at: datetime
    used: int = 0
    aligned: bool = False
    """Whether the window began with one of the source."""
    previous_at: datetime | None = None
    """When the window before began, if that was aligned and the source has answered no request of this one yet."""
    booked: int = 0
    """Rows of requests that wait for a later window."""
    refused_at: datetime | None = None
    """The first refusal since the last answer."""
    resume_at: datetime | None = None
    quota_rows: int | None = None
    quota_seconds: float | None = None
    met_at: datetime | None = None

    def reserve(self, rows: int, now: datetime) -> float:
        """Return the seconds until a request may be sent; 0 if it may be sent now, which counts its rows."""
        if self.resume_at is not None and now < self.resume_at:
            return (self.resume_at - now).total_seconds()
        if self._is_probed(now):
            return _RECHECK_SECONDS
        if self.refused_at is None:
            self._begin_window(now)
            if self.quota_rows and self.quota_seconds and self.used and self.used + rows > self.quota_rows:
                windows = 1 + self.booked // self.quota_rows
                self.booked += rows
                return (self.opened_at - now).total_seconds() + windows * self.quota_seconds
        self.used += rows
        self.requested_at = now
        return 0

    def record_answer(self, rows: int, now: datetime) -> None:
        """Record that the source answered a reserved request."""
        if self.refused_at is not None and self.resume_at is not None:
            if self.requested_at < self.resume_at:
                return  # The request was sent before the refusal.
            if self.quota_rows is None or now - self.resume_at > _PROMPT:
                self._forget_quota()
            elif self._is_measuring():
                self.quota_seconds, self.met_at = (now - self.opened_at).total_seconds(), now
            self.opened_at, self.aligned, self.used = self.requested_at, True, rows
        self.previous_at = self.refused_at = self.resume_at = None

    def record_refusal(self, rows: int, now: datetime, retry_after: float | None) -> None:
        """Record that the source refused a reserved request because of its quota."""
        self.used, self.booked = max(0, self.used - rows), 0
        if self.previous_at is not None:
            # The window before has not ended yet.
            self.opened_at, self.aligned, self.previous_at = self.previous_at, True, None
        elif self.used and self._is_measuring() and (self.refused_at is None or self.used < (self.quota_rows or 0)):
            self.quota_rows = self.used
        self.refused_at = self.refused_at or now
        waited = (now - self.refused_at).total_seconds()
        self.record_pause(now, retry_after or min(max(PROBE_SECONDS, waited / 4), MAX_PROBE_SECONDS))

    def record_pause(self, now: datetime, seconds: float) -> None:
        """Record that the source asked for a pause."""
        self.resume_at = now + timedelta(seconds=min(seconds, MAX_WAIT_SECONDS))

    def _is_measuring(self) -> bool:
        return self.aligned or self.quota_seconds is None

    def _forget_quota(self) -> None:
        self.quota_rows = self.quota_seconds = self.met_at = None

    def _is_probed(self, now: datetime) -> bool:
        """Return whether a request tries if the source answers again."""
        if self.refused_at is None or self.resume_at is None or self.requested_at < self.resume_at:
            return False
        return (now - self.requested_at).total_seconds() < PROBE_SECONDS

    def _begin_window(self, now: datetime) -> None:
        """Begin a window if the current one has ended."""
        if self.met_at is not None and now - self.met_at > _REMEMBERED:
            self._forget_quota()
        if self.quota_rows and self.quota_seconds:
            ended = int((now - self.opened_at).total_seconds() / self.quota_seconds)
            self.booked = max(0, self.booked - ended * self.quota_rows)
            over = ended > 0
        else:
            over = now - self.requested_at > _IDLE
        if over:
            self.previous_at = self.opened_at if self.aligned else None
            self.opened_at, self.aligned, self.used = now, False, 0
