"""Read Kafka's messages for display. No consumer group is joined, nothing is committed, time and size are bounded."""

import heapq
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import NamedTuple

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from dashboard.data.printable import escape_invisible, indent_json
from insights.clients import kafka_admin
from insights.model.credentials import is_secret
from insights.model.redaction import redact, redact_text
from insights.settings import KafkaSettings

READ_SECONDS = 5.0
"""Time limit of one read."""
POLL_SECONDS = 0.02
"""How long a poll waits for a full batch. The last poll of a read always waits this long."""
LISTED_CHARACTERS = 500
"""Of a value in a list; a record of the API has about 1,200 characters."""
WHOLE_CHARACTERS = 50_000
SEARCHED_MESSAGES = 20_000
"""A key is searched for among this many of the newest messages."""

Position = tuple[tuple[int, int], ...]
"""For each partition, the offset before which a page ends; empty for the page of the newest messages."""
Spans = Mapping[int, tuple[int, int]]
"""By partition, the oldest offset and the end offset."""
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
    """A message as a list shows it: without credentials, control characters escaped, its value truncated."""

    topic: str
    partition: int
    offset: int
    time: datetime
    key: str
    size: int
    """Bytes of the original value."""
    headers: str
    value: str


class MessagePage(NamedTuple):
    """A page of messages, newest first."""

    messages: list[MessageSummary]
    older: Position
    """Where the next older page ends; empty if there is none."""
    newer: bool
    """Whether there are newer messages."""
    complete: bool
    """False if the broker was too slow, so that messages are missing."""


class FullMessage(NamedTuple):
    """One message without credentials, its value truncated to `WHOLE_CHARACTERS`."""

    time: datetime
    key: str
    size: int
    """Bytes of the original value."""
    headers: list[tuple[str, str]]
    value: str
    truncated: bool


def fetch_page(settings: KafkaSettings, topic: str, partition: int | None, before: Position, limit: int) -> MessagePage:
    """Fetch the newest messages below `before`, from one partition or (None) from all.

    Raises:
        KafkaException: the broker does not answer.
        UserError: the topic does not exist, or a partition has no leader.
    """
    spans = _read_spans(settings, topic, partition)
    ends = {number: min(end, high) for number, end in before if (high := spans.get(number, (0, 0))[1])} or {
        number: end for number, (_, end) in spans.items()
    }
    page_spans = {number: (max(spans[number][0], end - limit), end) for number, end in ends.items()}
    newest, complete = _collect_newest(settings, topic, page_spans, limit, lambda _: True)
    remaining = dict(ends)
    for message in newest:
        remaining[message.partition] = min(remaining[message.partition], message.offset)
    older = tuple((number, end) for number, end in sorted(remaining.items()) if end > spans[number][0])
    newer = any(ends.get(number, begin) < end for number, (begin, end) in spans.items())
    return MessagePage(newest, older, newer, complete)


def search_key(settings: KafkaSettings, topic: str, partition: int | None, key: str, limit: int) -> MessagePage:
    """Find the newest messages with that key among the newest `SEARCHED_MESSAGES`.

    Raises:
        KafkaException: the broker does not answer.
        UserError: the topic does not exist, or a partition has no leader.
    """
    spans = _read_spans(settings, topic, partition)
    per_partition = SEARCHED_MESSAGES // max(1, len(spans))
    searched = {number: (max(begin, end - per_partition), end) for number, (begin, end) in spans.items()}
    key_bytes = key.encode()
    newest, complete = _collect_newest(settings, topic, searched, limit, lambda message: message.key() == key_bytes)
    return MessagePage(newest, (), False, complete)


def fetch_message(settings: KafkaSettings, topic: str, partition: int, offset: int) -> FullMessage | None:
    """Fetch the message at an offset, None if retention has deleted it.

    Raises:
        KafkaException: the broker does not answer.
    """
    messages: list[Message] = []
    _consume(settings, topic, {partition: (offset, offset + 1)}, messages.append)
    if not messages:
        return None
    message = messages[0]
    value = message.value() or b""
    text = indent_json(_decode(value))
    return FullMessage(
        _get_time(message),
        escape_invisible(_decode(message.key())),
        len(value),
        [(escape_invisible(name), escape_invisible(content)) for name, content in _decode_headers(message)],
        escape_invisible(text[:WHOLE_CHARACTERS], keep="\n"),
        len(text) > WHOLE_CHARACTERS,
    )


def _read_spans(settings: KafkaSettings, topic: str, partition: int | None) -> Spans:
    watermarks = kafka_admin.read_watermarks(kafka_admin.get_admin(settings), topic, READ_SECONDS)
    return {number: span for number, span in watermarks.items() if partition in (None, number)}


def _collect_newest(
    settings: KafkaSettings, topic: str, spans: Spans, limit: int, matches: Callable[[Message], bool]
) -> tuple[list[MessageSummary], bool]:
    """Return the newest `limit` messages that match, and whether all were read. Keeps at most `limit` in memory."""
    newest: list[tuple[datetime, int, int, MessageSummary]] = []

    def handle(message: Message) -> None:
        if matches(message):
            summary = _summarize(message)
            (heapq.heappush if len(newest) < limit else heapq.heappushpop)(
                newest, (summary.time, summary.offset, summary.partition, summary)
            )

    complete = _consume(settings, topic, spans, handle)
    return [summary for *_, summary in sorted(newest, reverse=True)], complete


def _consume(settings: KafkaSettings, topic: str, spans: Spans, handle: Callable[[Message], None]) -> bool:
    """Pass every message within the spans to `handle`; return False if the broker is too slow for that."""
    unread = {number: end for number, (begin, end) in spans.items() if begin < end}
    if not unread:
        return True
    deadline = time.monotonic() + READ_SECONDS
    consumer = Consumer(settings.client() | _CONSUMER | {"group.id": "insights-dashboard-browser"})
    try:
        consumer.assign([TopicPartition(topic, number, spans[number][0]) for number in unread])
        while unread and time.monotonic() < deadline:
            for message in consumer.consume(100, timeout=POLL_SECONDS):
                number, offset = message.partition(), message.offset()
                if message.error() and message.error().code() != KafkaError._PARTITION_EOF:
                    raise KafkaException(message.error())
                if not message.error() and offset < unread.get(number, 0):
                    handle(message)
                if number in unread and (message.error() or offset >= unread[number] - 1):
                    del unread[number]
                    consumer.pause([TopicPartition(topic, number)])
    finally:
        consumer.close()
    return not unread


def _summarize(message: Message) -> MessageSummary:
    value = message.value() or b""
    headers = ", ".join(f"{name}={content}" for name, content in _decode_headers(message))
    return MessageSummary(
        message.topic(),
        message.partition(),
        message.offset(),
        _get_time(message),
        _shorten(_decode(message.key())),
        len(value),
        _shorten(headers),
        _shorten(_decode(value)),
    )


def _get_time(message: Message) -> datetime:
    return datetime.fromtimestamp(max(0, message.timestamp()[1]) / 1000, UTC)


def _shorten(text: str) -> str:
    return escape_invisible(text[:LISTED_CHARACTERS])


def _decode_headers(message: Message) -> list[tuple[str, str]]:
    """The headers without credentials; `sha256` is the digest of a rejected value."""
    return [
        (redact_text(name), "null" if is_secret(name) and name != "sha256" else _decode(content))
        for name, content in message.headers() or ()
    ]


def _decode(content: bytes | None) -> str:
    return redact(content or b"").decode("utf-8", "backslashreplace")
