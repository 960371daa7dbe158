"""The partitions of Kafka's topics and what they hold."""

from datetime import UTC, datetime
from typing import Any, NamedTuple

from confluent_kafka import KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from insights.settings import KafkaSettings

TIMEOUT_SECONDS = 5.0


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
    admin = AdminClient(settings.client() | {"log_level": 0})
    metadata = admin.list_topics(timeout=TIMEOUT_SECONDS).topics
    places = []
    for topic in (settings.raw_topic, settings.quarantine_topic):
        if topic not in metadata:
            raise KafkaException(f"topic {topic} does not exist")
        places += [TopicPartition(topic, partition) for partition in sorted(metadata[topic].partitions)]
    begins, ends, newest = (
        admin.list_offsets(dict.fromkeys(places, spec), request_timeout=TIMEOUT_SECONDS)
        for spec in (OffsetSpec.earliest(), OffsetSpec.latest(), OffsetSpec.max_timestamp())
    )
    return [
        Partition(
            place.topic, place.partition, begins[place].result().offset, ends[place].result().offset,
            _instant(newest[place].result()),
        )
        for place in places
    ]  # fmt: skip


def _instant(found: Any) -> datetime | None:
    return datetime.fromtimestamp(found.timestamp / 1000, UTC) if found.timestamp >= 0 else None
