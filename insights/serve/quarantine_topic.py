"""The copy of refused records on the quarantine topic. PostgreSQL holds the exact truth; this copy is at least once."""

from collections.abc import Iterable, Sequence
from typing import Any

from confluent_kafka import KafkaError, KafkaException

from insights.model.quarantine import Quarantined

FLUSH_SECONDS = 60
LONGEST_KEY = 1024
"""Characters of a key that a copy without its value keeps."""

Copy = tuple[Quarantined, str | None, bytes | None]
"""A record with the key and the value that its copy has."""


def produce(producer: Any, topic: str, records: Sequence[Quarantined]) -> None:
    """Send the records and wait until the brokers have them all.

    A record whose headers make it too large for the topic goes without its value, and without a key of more than
    `LONGEST_KEY` characters.

    Raises:
        KafkaException: a record was not acknowledged.
    """
    too_large = _deliver(producer, topic, ((record, record.key, record.payload) for record in records))
    if _deliver(producer, topic, ((record, _short(record.key), None) for record in too_large)):
        raise KafkaException(KafkaError(KafkaError.MSG_SIZE_TOO_LARGE))


def _deliver(producer: Any, topic: str, copies: Iterable[Copy]) -> list[Quarantined]:
    """Send the copies and wait; returns the records that the client or the broker refused as too large."""
    too_large: list[Quarantined] = []
    failures: list[Any] = []

    def refused(record: Quarantined, error: Any) -> None:
        if error.code() == KafkaError.MSG_SIZE_TOO_LARGE:
            too_large.append(record)
        else:
            failures.append(error)

    for record, key, value in copies:

        def delivered(error: Any, _: Any, record: Quarantined = record) -> None:
            if error is not None:
                refused(record, error)

        try:
            _send(producer, topic, value, key, record.headers(), delivered)
        except KafkaException as error:
            refused(record, error.args[0])
    waiting = producer.flush(FLUSH_SECONDS)
    if failures:
        raise KafkaException(failures[0])
    if waiting:
        raise KafkaException(KafkaError(KafkaError._TIMED_OUT))
    return too_large


def _short(key: str | None) -> str | None:
    return key if key is None or len(key) <= LONGEST_KEY else None


def _send(producer: Any, topic: str, value: bytes | None, key: str | None, headers: Any, delivered: Any) -> None:
    while True:
        try:
            producer.produce(topic, value, key, headers=headers, on_delivery=delivered)
        except BufferError:
            producer.poll(0.5)
        else:
            producer.poll(0)
            return
