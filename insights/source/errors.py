"""The ways in which fetching a page can fail."""

from enum import StrEnum


class FetchFailure(StrEnum):
    """The kind of a failure; `RETRYABLE` holds those that may succeed on another attempt."""

    RATE_LIMITED = "RATE_LIMITED"
    SERVER_ERROR = "SERVER_ERROR"
    TIMEOUT = "TIMEOUT"
    CONNECTION = "CONNECTION"
    TRUNCATED = "TRUNCATED"
    NOT_JSON = "NOT_JSON"
    API_ERROR = "API_ERROR"
    EMPTY = "EMPTY"
    SHORT = "SHORT"
    DEADLINE = "DEADLINE"
    REFUSED = "REFUSED"
    TLS = "TLS"
    TOO_LARGE = "TOO_LARGE"
    TOO_DEEP = "TOO_DEEP"
    ENVELOPE = "ENVELOPE"
    MISMATCH = "MISMATCH"


RETRYABLE = frozenset(
    {
        FetchFailure.RATE_LIMITED,
        FetchFailure.SERVER_ERROR,
        FetchFailure.TIMEOUT,
        FetchFailure.CONNECTION,
        FetchFailure.TRUNCATED,
        FetchFailure.NOT_JSON,
        FetchFailure.API_ERROR,
        FetchFailure.EMPTY,
        FetchFailure.SHORT,
        FetchFailure.DEADLINE,
    }
)
"""Failures that have been observed to be temporary. The others are permanent."""


class SourceError(Exception):
    """A page could not be fetched, and no part of it may be stored. `retry_after` is in seconds."""

    def __init__(self, reason: FetchFailure, detail: str, retry_after: float | None = None) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail
        self.retry_after = retry_after

    @property
    def retryable(self) -> bool:
        return self.reason in RETRYABLE
