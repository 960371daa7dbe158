"""Copies of quarantined records, with a producer that rejects messages that are too large."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from insights.model.quarantine import QuarantineRecord
from insights.model.reasons import Reason
from insights.sinks.quarantine_topic import LONGEST_KEY, produce_copies

LIMIT = 2000


def record(number: int, payload: bytes, key: str | None = "key") -> QuarantineRecord:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    return QuarantineRecord(
        f"users.raw/0/{number}", str(number), Reason.SCHEMA, "value", "", key, None, 1, at, 0, len(payload), "", payload
    )


class Producer:
    """Rejects messages above `LIMIT` bytes at once, and those above `broker_limit` when it is flushed."""

    def __init__(self, broker_limit: int = LIMIT, error: int | None = None) -> None:
        self.sent: list[tuple[str | None, bytes | None]] = []
        self._broker_limit, self._error = broker_limit, error
        self._reports: list[tuple[Callable[..., None], Any]] = []

    def produce(self, _: str, value: bytes | None, key: str | None, *, headers: Any, on_delivery: Any) -> None:
        size = len(value or b"") + len((key or "").encode()) + sum(len(text) for _, text in headers)
        if size > LIMIT:
            raise KafkaException(KafkaError(KafkaError.MSG_SIZE_TOO_LARGE))
        error = KafkaError(KafkaError.MSG_SIZE_TOO_LARGE) if size > self._broker_limit else None
        if self._error is not None:
            error = KafkaError(self._error)
        if error is None:
            self.sent.append((key, value))
        self._reports.append((on_delivery, error))

    def poll(self, _: float) -> None: ...

    def flush(self, _: float) -> int:
        for report, error in self._reports:
            report(error, None)
        self._reports.clear()
        return 0


def test_a_record_that_is_too_large_is_produced_without_its_value() -> None:
    producer = Producer()
    produce_copies(producer, "q", [record(1, b"small"), record(2, b"x" * LIMIT), record(3, b"last")])
    assert producer.sent == [("key", b"small"), ("key", b"last"), ("key", None)]


def test_a_record_that_only_the_broker_rejects_is_produced_without_its_value() -> None:
    producer = Producer(broker_limit=1000)
    produce_copies(producer, "q", [record(1, b"x" * 1200), record(2, b"small")])
    assert producer.sent == [("key", b"small"), ("key", None)]


def test_a_key_that_is_too_large_by_itself_is_left_out() -> None:
    producer = Producer()
    produce_copies(producer, "q", [record(1, b"small", key="k" * LIMIT), record(2, b"small", key="k" * LONGEST_KEY)])
    assert producer.sent == [("k" * LONGEST_KEY, b"small"), (None, None)]


def test_a_copy_that_is_not_acknowledged_is_an_error() -> None:
    with pytest.raises(KafkaException):
        produce_copies(Producer(error=KafkaError.BROKER_NOT_AVAILABLE), "q", [record(1, b"small")])
