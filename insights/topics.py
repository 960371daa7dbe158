"""A topic's partitions through a Kafka admin client."""

from typing import Any

from confluent_kafka import TopicPartition
from confluent_kafka.admin import OffsetSpec

from insights.errors import UserError

_TIMEOUT_SECONDS = 20.0


def partition_sizes(admin: Any, topic: str) -> dict[str, int]:
    """Messages that each partition holds.

    Raises:
        UserError: the topic does not exist, or a partition has no leader.
    """
    partitions = admin.list_topics(timeout=_TIMEOUT_SECONDS).topics.get(topic)
    if partitions is None:
        raise UserError(f"Kafka has no topic {topic}; run `insights migrate`.")
    orphans = [number for number, partition in partitions.partitions.items() if partition.leader < 0]
    if orphans:
        raise UserError(f"Partition {orphans[0]} of topic {topic} has no leader; bring its brokers up.")
    places = [TopicPartition(topic, number) for number in sorted(partitions.partitions)]
    ends, begins = (
        {place.partition: future.result().offset for place, future in admin.list_offsets(asked).items()}
        for asked in (dict.fromkeys(places, spec) for spec in (OffsetSpec.latest(), OffsetSpec.earliest()))
    )
    return {str(number): ends[number] - begins[number] for number in ends}
