"""The partitions of Kafka's topics and their offsets."""

from datetime import UTC, datetime
from typing import NamedTuple

from confluent_kafka.admin import ListOffsetsResultInfo, OffsetSpec

from insights.clients import kafka_admin
from insights.settings import KafkaSettings

TIMEOUT_SECONDS = 5.0
"""Maximum time that a visitor waits for one answer."""


class PartitionOffsets(NamedTuple):
    """The offsets of a partition: `begin` is the oldest, `end` the end offset."""

    topic: str
    partition: int
    begin: int
    end: int
    newest: datetime | None = None
    """When its newest message was created; None if it is empty."""


def list_partition_offsets(settings: KafkaSettings) -> list[PartitionOffsets]:
    """Return the offsets of every partition of the platform's topics.

    Raises:
        KafkaException: the broker does not answer.
        UserError: a topic does not exist, or a partition has no leader.
    """
    admin = kafka_admin.get_admin(settings)
    specs = (OffsetSpec.earliest(), OffsetSpec.latest(), OffsetSpec.max_timestamp())
    partitions, (begins, ends, newest) = kafka_admin.read_offsets(
        admin, (settings.raw_topic, settings.quarantine_topic), specs, TIMEOUT_SECONDS
    )
    return [
        PartitionOffsets(partition.topic, partition.partition, begin.offset, end.offset, _to_instant(last))
        for partition, begin, end, last in zip(partitions, begins, ends, newest, strict=True)
    ]


def _to_instant(result: ListOffsetsResultInfo) -> datetime | None:
    return datetime.fromtimestamp(result.timestamp / 1000, UTC) if result.timestamp >= 0 else None
