"""A look at Kafka's messages: no group is joined, nothing committed, each look bounded in time and size."""

import heapq
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import NamedTuple

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from dashboard.data.printable import escape_invisible, indent_json
from insights.clients import kafka_admin
from insights.model.credentials import redact
from insights.settings import KafkaSettings

SECONDS = 5.0
"""A look lasts no longer."""
POLL_SECONDS = 0.02
"""A read waits that long for a full batch, so the last one of a look does."""
LISTED_CHARACTERS = 500
"""Of a value in a list; a record of the API has about 1,200."""
WHOLE_CHARACTERS = 50_000
SEARCHED = 20_000
"""Messages in which a key is searched, the newest."""

Position = tuple[tuple[int, int], ...]
"""Partitions, each with the offset before which a page ends; none of them: the page of the newest messages."""
_CONSUMER = {
    "enable.auto.commit": False,
    "auto.offset.reset": "earliest",
    "enable.partition.eof": True,
    "fetch.wait.max.ms": 50,
    "fetch.max.bytes": 8 * 1024 * 1024,
    "queued.max.messages.kbytes": 16 * 1024,
    "log_level": 0,
}


class MessageSummary(NamedTuple):
    """A message as it may be listed: without credentials, without control characters, its value cut."""

    topic: str
    partition: int
    offset: int
    time: datetime
    key: str
    size: int
    """Bytes of the value as it is."""
    headers: str
    value: str


class MessagePage(NamedTuple):
    """A page of messages, the newest first."""

    messages: list[MessageSummary]
    older: Position
    """Where the page before it ends; empty when there is none."""
    newer: bool
    """Whether there are messages after it."""
    complete: bool
    """False when the broker was too slow, so that some are missing."""


class FullMessage(NamedTuple):
    """One message: without credentials, its value cut at `WHOLE_CHARACTERS`."""

    time: datetime
    key: str
    size: int
    headers: list[tuple[str, str]]
    value: str
    cut: bool


def fetch_page(settings: KafkaSettings, topic: str, partition: int | None, before: Position, limit: int) -> MessagePage:
    """The newest messages below `before`, of one partition or all.

    Raises:
        KafkaException: the broker does not answer.
        UserError: the topic is absent, or a partition has no leader.
    """
    spans = _spans(settings, topic, partition)
    ends = {number: min(end, high) for number, end in before if (high := spans.get(number, (0, 0))[1])} or {
        number: end for number, (_, end) in spans.items()
    }
    wanted = {number: (max(spans[number][0], end - limit), end) for number, end in ends.items()}
    newest, complete = _newest(settings, topic, wanted, limit, lambda _: True)
    rest = dict(ends)
    for message in newest:
        rest[message.partition] = min(rest[message.partition], message.offset)
    older = tuple((number, end) for number, end in sorted(rest.items()) if end > spans[number][0])
    newer = any(ends.get(number, begin) < end for number, (begin, end) in spans.items())
    return MessagePage(newest, older, newer, complete)


def search_key(settings: KafkaSettings, topic: str, partition: int | None, key: str, limit: int) -> MessagePage:
    """The newest messages with that key among the newest `SEARCHED`.

    Raises:
        KafkaException: the broker does not answer.
        UserError: the topic is absent, or a partition has no leader.
    """
    spans = _spans(settings, topic, partition)
    each = SEARCHED // max(1, len(spans))
    wanted = {number: (max(begin, end - each), end) for number, (begin, end) in spans.items()}
    asked = key.encode()
    newest, complete = _newest(settings, topic, wanted, limit, lambda message: message.key() == asked)
    return MessagePage(newest, (), False, complete)


def fetch_message(settings: KafkaSettings, topic: str, partition: int, offset: int) -> FullMessage | None:
    """The message there; none when retention has taken it.

    Raises:
        KafkaException: the broker does not answer.
    """
    found: list[Message] = []
    _read(settings, topic, {partition: (offset, offset + 1)}, found.append)
    if not found:
        return None
    value = found[0].value() or b""
    text = indent_json(_text(value))
    headers = [(escape_invisible(name), escape_invisible(_text(content))) for name, content in found[0].headers() or ()]
    return FullMessage(
        _time(found[0]),
        escape_invisible(_text(found[0].key())),
        len(value),
        headers,
        escape_invisible(text[:WHOLE_CHARACTERS], keep="\n"),
        len(text) > WHOLE_CHARACTERS,
    )


def _spans(settings: KafkaSettings, topic: str, partition: int | None) -> dict[int, tuple[int, int]]:
    found = kafka_admin.read_watermarks(kafka_admin.get_admin(settings), topic, SECONDS)
    return {number: span for number, span in found.items() if partition in (None, number)}


def _newest(
    settings: KafkaSettings,
    topic: str,
    spans: Mapping[int, tuple[int, int]],
    limit: int,
    wanted: Callable[[Message], bool],
) -> tuple[list[MessageSummary], bool]:
    """The newest `limit` messages that are wanted, and whether all were read; no more than those are kept."""
    kept: list[tuple[datetime, int, int, MessageSummary]] = []

    def take(message: Message) -> None:
        if wanted(message):
            seen = _seen(message)
            (heapq.heappush if len(kept) < limit else heapq.heappushpop)(
                kept, (seen.time, seen.offset, seen.partition, seen)
            )

    complete = _read(settings, topic, spans, take)
    return [seen for *_, seen in sorted(kept, reverse=True)], complete


def _read(
    settings: KafkaSettings, topic: str, spans: Mapping[int, tuple[int, int]], take: Callable[[Message], None]
) -> bool:
    """Give every message between the offsets to `take`; false when the broker is too slow for that."""
    left = {number: end for number, (begin, end) in spans.items() if begin < end}
    if not left:
        return True
    deadline = time.monotonic() + SECONDS
    consumer = Consumer(settings.client() | _CONSUMER | {"group.id": "insights-dashboard-browser"})
    try:
        consumer.assign([TopicPartition(topic, number, spans[number][0]) for number in left])
        while left and time.monotonic() < deadline:
            for message in consumer.consume(100, timeout=POLL_SECONDS):
                number, offset = message.partition(), message.offset()
                if message.error() and message.error().code() != KafkaError._PARTITION_EOF:
                    raise KafkaException(message.error())
                if not message.error() and offset < left.get(number, 0):
                    take(message)
                if number in left and (message.error() or offset >= left[number] - 1):
                    del left[number]
                    consumer.pause([TopicPartition(topic, number)])
    finally:
        consumer.close()
    return not left


def _seen(message: Message) -> MessageSummary:
    value = message.value() or b""
    headers = ", ".join(f"{name}={_text(content)}" for name, content in message.headers() or ())
    return MessageSummary(
        message.topic(),
        message.partition(),
        message.offset(),
        _time(message),
        _listed(_text(message.key())),
        len(value),
        _listed(headers),
        _listed(_text(value)),
    )


def _time(message: Message) -> datetime:
    return datetime.fromtimestamp(max(0, message.timestamp()[1]) / 1000, UTC)


def _listed(text: str) -> str:
    return escape_invisible(text[:LISTED_CHARACTERS])


def _text(content: bytes | None) -> str:
    return redact(content or b"").decode("utf-8", "backslashreplace")
