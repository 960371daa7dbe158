"""The partitions of Kafka's topics and what they hold."""

from datetime import UTC, datetime
from typing import Any, NamedTuple

from confluent_kafka.admin import OffsetSpec

from insights.clients import kafka_admin
from insights.settings import KafkaSettings

TIMEOUT_SECONDS = 5.0
"""A visitor waits no longer for one answer."""


class PartitionOffsets(NamedTuple):
    """The offsets that a partition holds, from `begin` to before `end`."""

    topic: str
    partition: int
    begin: int
    end: int
    newest: datetime | None = None
    """When its newest message was made; none when it holds none."""


def list_partition_offsets(settings: KafkaSettings) -> list[PartitionOffsets]:
    """Every partition of the platform's topics.

    Raises:
        KafkaException: the broker does not answer.
        UserError: a topic is absent, or a partition has no leader.
    """
    admin = kafka_admin.get_admin(settings)
    places = kafka_admin.list_partitions(admin, (settings.raw_topic, settings.quarantine_topic), TIMEOUT_SECONDS)
    begins, ends, newest = kafka_admin.read_offsets(
        admin, places, (OffsetSpec.earliest(), OffsetSpec.latest(), OffsetSpec.max_timestamp()), TIMEOUT_SECONDS
    )
    return [
        PartitionOffsets(place.topic, place.partition, begin.offset, end.offset, _instant(last))
        for place, begin, end, last in zip(places, begins, ends, newest, strict=True)
    ]


def _instant(found: Any) -> datetime | None:
    return datetime.fromtimestamp(found.timestamp / 1000, UTC) if found.timestamp >= 0 else None
