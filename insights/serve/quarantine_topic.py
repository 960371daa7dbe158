"""The copy of refused records on the quarantine topic. PostgreSQL holds the exact truth; this copy is at least once."""

from collections.abc import Sequence
from typing import Any

from confluent_kafka import KafkaError, KafkaException

from insights.quarantine import Quarantined

FLUSH_SECONDS = 60


def produce(producer: Any, topic: str, records: Sequence[Quarantined]) -> None:
    """Send the records and wait until the brokers have them all.

    A record whose headers make it too large for the topic goes without its value.

    Raises:
        KafkaException: a record was not acknowledged.
    """
    failures: list[Any] = []

    def delivered(error: Any, _: Any) -> None:
        if error is not None:
            failures.append(error)

    for record in records:
        try:
            _send(producer, topic, record, record.payload, delivered)
        except KafkaException as error:
            if error.args[0].code() != KafkaError.MSG_SIZE_TOO_LARGE:
                raise
            _send(producer, topic, record, None, delivered)
    waiting = producer.flush(FLUSH_SECONDS)
    if failures:
        raise KafkaException(failures[0])
    if waiting:
        raise KafkaException(KafkaError(KafkaError._TIMED_OUT))


def _send(producer: Any, topic: str, record: Quarantined, value: bytes | None, delivered: Any) -> None:
    while True:
        try:
            producer.produce(topic, value, record.key, headers=record.headers(), on_delivery=delivered)
        except BufferError:
            producer.poll(0.5)
        else:
            producer.poll(0)
            return
