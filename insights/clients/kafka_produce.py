"""The produce loop: enqueue messages, wait while the queue is full, collect the messages that were not acknowledged."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, TypeVar

from confluent_kafka import KafkaError, KafkaException, Producer

from insights import failpoints
from insights.errors import UserError
from insights.model.message import Headers, RawMessage
from insights.model.quarantine import QuarantineRecord

T = TypeVar("T")

FLUSH_SECONDS = 90.0
_POLL_SECONDS = 0.5


class Encoded(NamedTuple):
    """A message in the form that librdkafka takes."""

    key: str | None
    value: bytes | None
    headers: Headers


@dataclass(frozen=True, slots=True)
class Delivery(Generic[T]):
    """How many messages were enqueued, which of them failed with which error, and how many got no delivery report."""

    sent: int
    failures: list[tuple[T, KafkaError]]
    unacknowledged: int


def enqueue(
    producer: Producer,
    topic: str,
    message: Encoded,
    on_delivery: Callable[[Any, Any], None] | None = None,
    timeout_seconds: float = float("inf"),
) -> None:
    """Append a message to the producer's queue, and serve delivery reports while the queue is full.

    Raises:
        BufferError: the queue was still full after `timeout_seconds`.
        KafkaException: librdkafka rejects the message.
    """
    deadline: float | None = None
    while True:
        try:
            producer.produce(topic, message.value, message.key, headers=message.headers, on_delivery=on_delivery)
            return
        except BufferError:
            deadline = deadline or time.monotonic() + timeout_seconds
            if time.monotonic() > deadline:
                raise
            producer.poll(_POLL_SECONDS)


def deliver(
    producer: Producer,
    topic: str,
    messages: Iterable[T],
    encode: Callable[[T], Encoded],
    progress: Callable[[int], None] = lambda _: None,
) -> Delivery[T]:
    """Produce the messages, then wait up to `FLUSH_SECONDS` for the brokers to acknowledge all of them.

    `progress` is called with the number of messages enqueued so far.
    """
    sent = 0
    failures: list[tuple[T, KafkaError]] = []
    for message in messages:

        def report(error: KafkaError | None, _: Any, message: T = message) -> None:
            if error is not None:
                failures.append((message, error))

        try:
            enqueue(producer, topic, encode(message), report)
        except KafkaException as error:
            failures.append((message, error.args[0]))
        producer.poll(0)
        sent += 1
        progress(sent)
    failpoints.reach("produce.enqueued")
    unacknowledged = producer.flush(FLUSH_SECONDS)
    failpoints.reach("produce.acknowledged")
    return Delivery(sent, failures, unacknowledged)


def republish(
    producer: Producer, topic: str, messages: Iterable[RawMessage], progress: Callable[[int], None] = lambda _: None
) -> int:
    """Produce raw messages again and wait until all are acknowledged. Returns the number of messages.

    `progress` is called with the number of messages enqueued so far.

    Raises:
        UserError: the broker did not acknowledge every message.
    """
    delivery = deliver(producer, topic, messages, encode_raw, progress)
    failures, unacknowledged = delivery.failures, delivery.unacknowledged
    if failures or unacknowledged:
        raise UserError(
            f"Kafka did not acknowledge {len(failures) + unacknowledged} of {delivery.sent} records on {topic}"
            f" ({failures[0][1].str() if failures else 'timed out'}); check the broker and try again:"
            " a record that is delivered twice has no further effect."
        )
    return delivery.sent


def encode_raw(message: RawMessage) -> Encoded:
    """Encode a raw message, with its key as text."""
    return Encoded(str(message.key), message.value, message.headers())


def encode_quarantined(record: QuarantineRecord) -> Encoded:
    """Encode a quarantine record, with its redacted value."""
    return Encoded(record.key, record.payload, record.headers())
