"""A look into Kafka's topics, without joining a consumer group: partitions, offsets, last messages."""

import time
from datetime import UTC, datetime
from typing import NamedTuple
from uuid import uuid4

from confluent_kafka import Consumer, KafkaException, Message, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from insights.quarantine import redact
from insights.settings import KafkaSettings

TIMEOUT_SECONDS = 5.0
SHOWN_CHARACTERS = 2_000
"""Of a message's value; a record of the API has about 1,200."""


class Partition(NamedTuple):
    """The offsets that a partition holds, from `begin` to before `end`."""

    topic: str
    partition: int
    begin: int
    end: int


class Seen(NamedTuple):
    """A message as it may be shown: credentials removed, cut to `SHOWN_CHARACTERS`."""

    topic: str
    partition: int
    offset: int
    time: datetime
    key: str
    size: int
    """Bytes of the value as it is."""
    headers: str
    value: str


def partitions(settings: KafkaSettings) -> list[Partition]:
    """Every partition of the platform's topics.

    Raises:
        KafkaException: the broker does not answer, or a topic is absent.
    """
    admin = AdminClient(settings.client() | {"log_level": 0})
    metadata = admin.list_topics(timeout=TIMEOUT_SECONDS).topics
    places = []
    for topic in (settings.raw_topic, settings.quarantine_topic):
        if topic not in metadata:
            raise KafkaException(f"topic {topic} does not exist")
        places += [TopicPartition(topic, partition) for partition in sorted(metadata[topic].partitions)]
    begins, ends = (
        admin.list_offsets(dict.fromkeys(places, spec), request_timeout=TIMEOUT_SECONDS)
        for spec in (OffsetSpec.earliest(), OffsetSpec.latest())
    )
    return [
        Partition(place.topic, place.partition, begins[place].result().offset, ends[place].result().offset)
        for place in places
    ]


def last_messages(settings: KafkaSettings, topic: str, limit: int) -> list[Seen]:
    """The newest messages of a topic, newest first.

    Raises:
        KafkaException: the broker does not answer.
    """
    spans = {part.partition: part for part in partitions(settings) if part.topic == topic}
    left = {number: part.end for number, part in spans.items() if part.begin < part.end}
    consumer = Consumer(
        settings.client()
        | {"group.id": f"insights-dashboard-{uuid4()}", "enable.auto.commit": False, "auto.offset.reset": "error"}
        | {"log_level": 0}
    )
    try:
        consumer.assign([
            TopicPartition(topic, number, max(spans[number].begin, end - limit)) for number, end in left.items()
        ])  # fmt: skip
        messages = _read(consumer, left)
    finally:
        consumer.close()
    newest = sorted(messages, key=lambda message: (message.timestamp()[1], message.offset()), reverse=True)
    return [_seen(message) for message in newest[:limit]]


def _read(consumer: Consumer, left: dict[int, int]) -> list[Message]:
    """Messages up to the end offsets; fewer where the broker is too slow."""
    messages: list[Message] = []
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while left and time.monotonic() < deadline:
        for message in consumer.consume(100, timeout=0.5):
            if message.error():
                raise KafkaException(message.error())
            messages.append(message)
            if message.offset() >= left.get(message.partition(), 0) - 1:
                left.pop(message.partition(), None)
    return messages


def _seen(message: Message) -> Seen:
    value = message.value() or b""
    return Seen(
        topic=message.topic(),
        partition=message.partition(),
        offset=message.offset(),
        time=datetime.fromtimestamp(message.timestamp()[1] / 1000, UTC),
        key=_text(message.key()),
        size=len(value),
        headers=", ".join(f"{name}={_text(content)}" for name, content in message.headers() or ()),
        value=_text(redact(value)),
    )


def _text(content: bytes | None) -> str:
    return (content or b"").decode("utf-8", "replace")[:SHOWN_CHARACTERS]
