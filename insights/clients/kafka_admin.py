"""Topics, partitions and offsets through a Kafka admin client."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from insights.errors import UserError
from insights.settings import KafkaSettings

TIMEOUT_SECONDS = 20.0


@lru_cache(maxsize=1)
def get_admin(settings: KafkaSettings) -> AdminClient:
    """This process's admin client for the broker, connected once and kept."""
    return AdminClient(settings.client() | {"log_level": 0, "reconnect.backoff.max.ms": 1000})


def count_messages(admin: AdminClient, topic: str) -> dict[str, int]:
    """Messages that each partition holds.

    Raises:
        KafkaException: the broker does not answer.
        UserError: the topic does not exist, or a partition has no leader.
    """
    return {str(partition): end - begin for partition, (begin, end) in read_watermarks(admin, topic).items()}


def read_watermarks(
    admin: AdminClient, topic: str, timeout_seconds: float = TIMEOUT_SECONDS
) -> dict[int, tuple[int, int]]:
    """(oldest offset, next offset) of each partition.

    Raises:
        KafkaException: the broker does not answer.
        UserError: the topic does not exist, or a partition has no leader.
    """
    places = list_partitions(admin, (topic,), timeout_seconds)
    begins, ends = read_offsets(admin, places, (OffsetSpec.earliest(), OffsetSpec.latest()), timeout_seconds)
    return {place.partition: (begin.offset, end.offset) for place, begin, end in zip(places, begins, ends, strict=True)}


def list_partitions(admin: AdminClient, topics: Sequence[str], timeout_seconds: float) -> list[TopicPartition]:
    """Every partition of the topics, in order.

    Raises:
        KafkaException: the broker does not answer.
        UserError: a topic does not exist, or a partition has no leader.
    """
    known = admin.list_topics(timeout=timeout_seconds).topics
    for topic in topics:
        if topic not in known:
            raise UserError(f"Kafka has no topic {topic}; run `insights migrate`.")
        orphans = [number for number, partition in known[topic].partitions.items() if partition.leader < 0]
        if orphans:
            raise UserError(f"Partition {orphans[0]} of topic {topic} has no leader; bring its brokers up.")
    return [TopicPartition(topic, number) for topic in topics for number in sorted(known[topic].partitions)]


def read_offsets(
    admin: AdminClient, places: Sequence[TopicPartition], specs: Sequence[OffsetSpec], timeout_seconds: float
) -> list[list[Any]]:
    """For each of the specifications what it finds in each of the places; all are asked before one is awaited.

    Raises:
        KafkaException: the broker does not answer.
    """
    asked = [admin.list_offsets(dict.fromkeys(places, spec), request_timeout=timeout_seconds) for spec in specs]
    return [[futures[place].result() for place in places] for futures in asked]
