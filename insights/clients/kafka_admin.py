"""Topics, partitions and offsets through a Kafka admin client."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from confluent_kafka import TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from insights.errors import UserError
from insights.settings import KafkaSettings

TIMEOUT_SECONDS = 20.0


@lru_cache(maxsize=1)
def get_admin(settings: KafkaSettings) -> AdminClient:
    """The admin client of this process, created on first use and cached."""
    return AdminClient(settings.client() | {"log_level": 0, "reconnect.backoff.max.ms": 1000})


def count_messages(admin: AdminClient, topic: str) -> dict[str, int]:
    """The number of messages in each partition, by its number as text.

    Raises:
        KafkaException: no broker answers.
        UserError: the topic does not exist, or a partition has no leader.
    """
    return {str(partition): end - begin for partition, (begin, end) in read_watermarks(admin, topic).items()}


def read_watermarks(
    admin: AdminClient, topic: str, timeout_seconds: float = TIMEOUT_SECONDS
) -> dict[int, tuple[int, int]]:
    """The beginning offset and the end offset of each partition.

    Raises:
        KafkaException: no broker answers.
        UserError: the topic does not exist, or a partition has no leader.
    """
    partitions = list_partitions(admin, (topic,), timeout_seconds)
    begins, ends = read_offsets(admin, partitions, (OffsetSpec.earliest(), OffsetSpec.latest()), timeout_seconds)
    return {
        partition.partition: (begin.offset, end.offset)
        for partition, begin, end in zip(partitions, begins, ends, strict=True)
    }


def read_topic_id(admin: AdminClient, topic: str, timeout_seconds: float = TIMEOUT_SECONDS) -> str:
    """The id that Kafka gave the topic when it was created; a topic created again under the same name has another.

    Raises:
        KafkaException: no broker answers, or the topic does not exist.
    """
    descriptions = admin.describe_topics(TopicCollection([topic]), request_timeout=timeout_seconds)
    return str(descriptions[topic].result().topic_id)


def list_partitions(admin: AdminClient, topics: Sequence[str], timeout_seconds: float) -> list[TopicPartition]:
    """Every partition of the topics, in the order of the topics and their partition numbers.

    Raises:
        KafkaException: no broker answers.
        UserError: a topic does not exist, or a partition has no leader.
    """
    metadata = admin.list_topics(timeout=timeout_seconds).topics
    for topic in topics:
        if topic not in metadata:
            raise UserError(f"Kafka has no topic {topic}; run `insights migrate`.")
        leaderless = [number for number, partition in metadata[topic].partitions.items() if partition.leader < 0]
        if leaderless:
            raise UserError(f"Partition {leaderless[0]} of topic {topic} has no leader; start its brokers.")
    return [TopicPartition(topic, number) for topic in topics for number in sorted(metadata[topic].partitions)]


def read_offsets(
    admin: AdminClient, partitions: Sequence[TopicPartition], specs: Sequence[OffsetSpec], timeout_seconds: float
) -> list[list[Any]]:
    """For each specification, the result of each partition in order; all requests are sent before one is awaited.

    Raises:
        KafkaException: no broker answers.
    """
    requests = [admin.list_offsets(dict.fromkeys(partitions, spec), request_timeout=timeout_seconds) for spec in specs]
    return [[futures[partition].result() for partition in partitions] for futures in requests]
