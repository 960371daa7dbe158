"""Copies of quarantined records on the quarantine topic: at least once, whereas PostgreSQL holds each exactly once."""

from collections.abc import Callable, Sequence

from confluent_kafka import KafkaError, KafkaException, Producer

from insights.clients.kafka_produce import Encoded, deliver, encode_quarantined
from insights.model.quarantine import QuarantineRecord

LONGEST_KEY = 1024
"""Longest key, in characters, that a copy without its value keeps."""


def produce_copies(producer: Producer, topic: str, records: Sequence[QuarantineRecord]) -> None:
    """Produce the records and wait until the brokers have acknowledged all of them.

    A record that is too large for the topic is produced without its value, and without a key of more than
    `LONGEST_KEY` characters.

    Raises:
        KafkaException: a record was not acknowledged.
    """
    too_large = _deliver(producer, topic, records, encode_quarantined)
    if _deliver(producer, topic, too_large, _encode_without_value):
        raise KafkaException(KafkaError(KafkaError.MSG_SIZE_TOO_LARGE))


def _deliver(
    producer: Producer, topic: str, records: Sequence[QuarantineRecord], encode: Callable[[QuarantineRecord], Encoded]
) -> list[QuarantineRecord]:
    """Deliver the records; returns those that the client or a broker rejected as too large."""
    delivery = deliver(producer, topic, records, encode)
    too_large = []
    for record, error in delivery.failures:
        if error.code() != KafkaError.MSG_SIZE_TOO_LARGE:
            raise KafkaException(error)
        too_large.append(record)
    if delivery.unacknowledged:
        raise KafkaException(KafkaError(KafkaError._TIMED_OUT))
    return too_large


def _encode_without_value(record: QuarantineRecord) -> Encoded:
    key = record.key if record.key is None or len(record.key) <= LONGEST_KEY else None
    return Encoded(key, None, record.headers())
