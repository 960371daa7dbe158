"""Send messages to a topic and wait until the brokers have them all."""

from collections.abc import Callable, Iterable
from typing import Any

from insights.errors import UserError
from insights.model.message import RawMessage

FLUSH_SECONDS = 60.0


def republish(
    producer: Any, topic: str, messages: Iterable[RawMessage], progress: Callable[[int], None] = lambda _: None
) -> int:
    """Send the messages through a librdkafka producer. Returns how many, all acknowledged.

    `progress` is told the number sent so far.

    Raises:
        UserError: the broker did not acknowledge every record.
    """
    failures: list[Any] = []

    def delivered(error: Any, _: Any) -> None:
        if error is not None:
            failures.append(error)

    sent = 0
    for message in messages:
        _produce(producer, topic, message, delivered)
        sent += 1
        progress(sent)
    waiting = producer.flush(FLUSH_SECONDS)
    if failures or waiting:
        raise UserError(
            f"Kafka did not acknowledge {len(failures) + waiting} of {sent} records on {topic}"
            f" ({failures[0].str() if failures else 'they still wait'}); look at the broker and try again:"
            " a record that arrives twice changes nothing."
        )
    return sent


def _produce(producer: Any, topic: str, message: RawMessage, delivered: Callable[[Any, Any], None]) -> None:
    key = str(message.key).encode()
    while True:
        try:
            producer.produce(topic, message.value, key, headers=message.headers(), on_delivery=delivered)
        except BufferError:
            producer.poll(0.5)
        else:
            producer.poll(0)
            return
