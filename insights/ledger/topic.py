"""Read the event id of every message of the raw topic, without joining a consumer group."""

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from uuid import uuid4

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from insights.clients.stream_position import Watermarks
from insights.errors import UserError
from insights.model.digest import digest_cells
from insights.model.message import BATCH_ID, EVENT_ID, EVENT_ID_FORMAT, EVENT_TIME, REDRIVES
from insights.settings import KafkaSettings

_MAX_MESSAGES = 5000
_POLL_SECONDS = 0.1
"""Long enough to collect full batches, short enough to wait at the end of the topic."""
_EVENT_ID = re.compile(EVENT_ID_FORMAT)
_MAX_DIGITS = 19
_TIMEOUT_SECONDS = 20.0
"""How long to wait for a broker that does not respond."""


@dataclass(frozen=True, slots=True)
class TopicEvent:
    """The position of a message, the event id of the record that it carries, and the digest of its content.

    The digest is that of the staged row (`digest_record`), None for a message that was not made from one: of another
    producer, or re-driven.
    """

    partition: int
    offset: int
    event_id: str
    digest: int | None


class RawTopic:
    """The event ids of the raw topic.

    Raises:
        UserError: the broker or the topic cannot be reached.
    """

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._consumer = Consumer(
            settings.client()
            | {
                "group.id": f"insights-ledger-{uuid4()}",
                "enable.auto.commit": False,
                "auto.offset.reset": "error",
                "enable.partition.eof": True,
                "isolation.level": "read_uncommitted",
                "fetch.max.bytes": 16 * 1024 * 1024,
                "queued.max.messages.kbytes": 32 * 1024,
                "log_level": 0,
            }
        )

    def close(self) -> None:
        """Close the consumer."""
        self._consumer.close()

    def events(self, watermarks: Watermarks) -> Iterator[TopicEvent]:
        """Yield every message between the watermarks, those of a partition in order."""
        end_offsets = {partition: high for partition, (low, high) in watermarks.items() if low < high}
        self._consumer.assign(
            [TopicPartition(self._settings.raw_topic, partition, watermarks[partition][0]) for partition in end_offsets]
        )
        last_received = time.monotonic()
        while end_offsets:
            messages = self._consumer.consume(_MAX_MESSAGES, timeout=_POLL_SECONDS)
            if messages:
                last_received = time.monotonic()
            elif time.monotonic() - last_received > _TIMEOUT_SECONDS:
                raise UserError(
                    f"Kafka topic {self._settings.raw_topic} at {self._settings.bootstrap_servers} stopped answering"
                    f" at partition {min(end_offsets)}; see the broker's log and check again."
                )
            for message in messages:
                partition, offset = message.partition(), message.offset()
                if message.error():
                    if message.error().code() != KafkaError._PARTITION_EOF:
                        raise self._make_read_error(KafkaException(message.error()))
                    end_offsets.pop(partition, None)
                    continue
                high = end_offsets.get(partition, 0)
                if offset < high:
                    yield TopicEvent(partition, offset, *read_identity(message))
                if offset >= high - 1:
                    end_offsets.pop(partition, None)

    def _make_read_error(self, error: KafkaException) -> UserError:
        return UserError(
            f"Kafka topic {self._settings.raw_topic} at {self._settings.bootstrap_servers} cannot be read: "
            f"{error.args[0].str()}; start the platform or set INSIGHTS_KAFKA_BOOTSTRAP_SERVERS."
        )


def read_identity(message: Message) -> tuple[str, int | None]:
    """The event id of a message, and the digest of a message that was made from a staged row.

    The event id follows the rules of the stream: a valid header, or the message's coordinates.
    """
    headers = dict(reversed(message.headers() or ()))
    name = headers.get(EVENT_ID) or b""
    is_row = name.isdigit() and len(name) <= _MAX_DIGITS
    event_id = name.decode() if is_row else _decode(name)
    if not is_row and not _EVENT_ID.fullmatch(event_id):
        return f"{message.topic()}/{message.partition()}/{message.offset()}", None
    if REDRIVES in headers or not is_row:
        return event_id, None
    cells = [name, *map(_normalize, (message.key(), headers.get(BATCH_ID), headers.get(EVENT_TIME)))]
    return event_id, digest_cells((*cells, message.value() or b""))


def _normalize(content: bytes | None) -> bytes:
    """The text as `digest_record` has it."""
    content = content or b""
    return content if content.isascii() else _decode(content).encode()


def _decode(content: bytes | None) -> str:
    return bytes(content or b"").decode("utf-8", "replace")
