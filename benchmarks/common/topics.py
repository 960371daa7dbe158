"""Topics of the contenders: how many messages they have, and what these are."""

from collections.abc import Callable, Iterator
from hashlib import sha256
from typing import Any

from confluent_kafka import Consumer, Message, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from benchmarks.common.servers import wait_until
from insights.settings import KafkaSettings

PARTITIONS = 2
TIMEOUT_SECONDS = 30


class Topic:
    """A topic, with a consumer that asks for its offsets and reads its messages."""

    def __init__(self, settings: KafkaSettings, name: str) -> None:
        self.name = name
        self._consumer = Consumer(settings.client() | {"group.id": "benchmark", "enable.auto.commit": False})
        self._partitions = [TopicPartition(name, number) for number in range(PARTITIONS)]

    def create(self, settings: KafkaSettings) -> None:
        """Create the topic, and wait until the broker knows it."""
        admin = AdminClient(settings.client())
        admin.create_topics([NewTopic(self.name, PARTITIONS, 1)])[self.name].result(TIMEOUT_SECONDS)
        wait_until(lambda: self.name in admin.list_topics(timeout=TIMEOUT_SECONDS).topics, f"{self.name} did not exist")

    def end_offsets(self) -> list[int]:
        """The end offset of each partition."""
        return [self._consumer.get_watermark_offsets(part, timeout=TIMEOUT_SECONDS)[1] for part in self._partitions]

    def count(self) -> int:
        """The number of messages, of which none may have been deleted."""
        return sum(self.end_offsets())

    def wait_for(self, messages: int) -> None:
        """Return when the topic has so many messages.

        Raises:
            RuntimeError: it did not have them in time.
        """
        wait_until(lambda: self.count() >= messages, f"{self.name} had not {messages:,} messages", pause=0.05)

    def read(self) -> Iterator[Message]:
        """Every message."""
        remaining = self.count()
        self._consumer.assign([TopicPartition(self.name, number, 0) for number in range(PARTITIONS)])
        while remaining:
            for message in self._consumer.consume(min(1000, remaining), TIMEOUT_SECONDS):
                remaining -= 1
                yield message

    def digest(self, decode: Callable[[Any], tuple[str, bytes]]) -> dict[str, str]:
        """The digest of the record of each user, given the user id and the record's text of a message."""
        records = map(decode, self.read())
        return {user: sha256(record).hexdigest() for user, record in records}

    def close(self) -> None:
        self._consumer.close()
