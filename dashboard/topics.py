"""The partitions of Kafka's topics and what they hold."""

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, NamedTuple

from confluent_kafka import KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from insights.settings import KafkaSettings

TIMEOUT_SECONDS = 5.0
"""A visitor waits no longer for one answer."""
_CLIENT = {"log_level": 0, "reconnect.backoff.max.ms": 1000}


class Partition(NamedTuple):
    """The offsets that a partition holds, from `begin` to before `end`."""

    topic: str
    partition: int
    begin: int
    end: int
    newest: datetime | None = None
    """When its newest message was made; none when it holds none."""


def partitions(settings: KafkaSettings) -> list[Partition]:
    """Every partition of the platform's topics.

    Raises:
        KafkaException: the broker does not answer, or a topic is absent.
    """
    places = _places(settings, (settings.raw_topic, settings.quarantine_topic))
    begins, ends, newest = _listed(
        settings, places, OffsetSpec.earliest(), OffsetSpec.latest(), OffsetSpec.max_timestamp()
    )
    return [
        Partition(place.topic, place.partition, begin.offset, end.offset, _instant(last))
        for place, begin, end, last in zip(places, begins, ends, newest, strict=True)
    ]


def watermarks(settings: KafkaSettings) -> dict[int, tuple[int, int]]:
    """(oldest offset, next offset) of each partition of the raw topic.

    Raises:
        KafkaException: the broker does not answer, or the topic is absent.
    """
    places = _places(settings, (settings.raw_topic,))
    begins, ends = _listed(settings, places, OffsetSpec.earliest(), OffsetSpec.latest())
    return {place.partition: (begin.offset, end.offset) for place, begin, end in zip(places, begins, ends, strict=True)}


def _places(settings: KafkaSettings, topics: Sequence[str]) -> list[TopicPartition]:
    known = _admin(settings).list_topics(timeout=TIMEOUT_SECONDS).topics
    for topic in topics:
        if topic not in known:
            raise KafkaException(f"topic {topic} does not exist")
    return [TopicPartition(topic, partition) for topic in topics for partition in sorted(known[topic].partitions)]


def _listed(settings: KafkaSettings, places: Sequence[TopicPartition], *specs: OffsetSpec) -> list[list[Any]]:
    """For each of the specifications what it finds in each of the places; asked together."""
    admin = _admin(settings)
    asked = [admin.list_offsets(dict.fromkeys(places, spec), request_timeout=TIMEOUT_SECONDS) for spec in specs]
    return [[futures[place].result() for place in places] for futures in asked]


@lru_cache(maxsize=1)
def _admin(settings: KafkaSettings) -> AdminClient:
    """Kept for the next question, like the stores' connections."""
    return AdminClient(settings.client() | _CLIENT)


def _instant(found: Any) -> datetime | None:
    return datetime.fromtimestamp(found.timestamp / 1000, UTC) if found.timestamp >= 0 else None
