"""Topics, partitions and offsets through a Kafka admin client."""

import logging
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from confluent_kafka import KafkaError, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient, ConfigResource, OffsetSpec, ResourceType
from tenacity import Retrying, retry_if_exception, stop_after_delay, wait_fixed

from insights.errors import UserError
from insights.settings import KafkaSettings

_log = logging.getLogger(__name__)
TIMEOUT_SECONDS = 20.0
_RETRY_SECONDS = 0.2
_LEADER_CHANGES = frozenset(
    {
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError.FENCED_LEADER_EPOCH,
        KafkaError.UNKNOWN_LEADER_EPOCH,
        KafkaError.OFFSET_NOT_AVAILABLE,
    }
)
"""The answers of a broker that does not lead the partition any longer, or does not know yet that it does."""


def get_admin(settings: KafkaSettings) -> AdminClient:
    """The admin client of this process, created on first use, and again once the CA's certificates have changed.

    A client reads these only when it is created.
    """
    file = settings.ca_file
    return _make_admin(settings, file.read_bytes() if file and file.is_file() else b"")


@lru_cache(maxsize=1)
def _make_admin(settings: KafkaSettings, _authorities: bytes) -> AdminClient:
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
        KafkaException: no broker answers, or a partition's leader has not become known in time.
        UserError: the topic does not exist, or a partition has no leader.
    """
    specs = (OffsetSpec.earliest(), OffsetSpec.latest())
    partitions, (begins, ends) = read_offsets(admin, (topic,), specs, timeout_seconds)
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


def read_message_limit(admin: AdminClient, settings: KafkaSettings, timeout_seconds: float = TIMEOUT_SECONDS) -> int:
    """The raw topic's `max.message.bytes`, or that of the settings if the topic's configuration is not readable."""
    resource = ConfigResource(ResourceType.TOPIC, settings.raw_topic)
    try:
        [future] = admin.describe_configs([resource], request_timeout=timeout_seconds).values()
        return int(future.result()["max.message.bytes"].value)
    except KafkaException as error:
        _log.info("the configuration of topic %s is not readable: %s", settings.raw_topic, error.args[0].str())
        return settings.max_message_bytes


def read_offsets(
    admin: AdminClient, topics: Sequence[str], specs: Sequence[OffsetSpec], timeout_seconds: float
) -> tuple[list[TopicPartition], list[list[Any]]]:
    """Every partition in the order of topic and number, and for each specification the result of each partition.

    While a partition's leader changes, it is asked again for up to `timeout_seconds`.

    Raises:
        KafkaException: no broker answers, or a partition's leader has not become known in time.
        UserError: a topic does not exist, or a partition has no leader.
    """
    retrying = Retrying(
        retry=retry_if_exception(_is_leader_change),
        stop=stop_after_delay(timeout_seconds),
        wait=wait_fixed(_RETRY_SECONDS),
        reraise=True,
    )
    return retrying(_read_offsets, admin, topics, specs, timeout_seconds)


def _is_leader_change(error: BaseException) -> bool:
    return isinstance(error, KafkaException) and error.args[0].code() in _LEADER_CHANGES


def _read_offsets(
    admin: AdminClient, topics: Sequence[str], specs: Sequence[OffsetSpec], timeout_seconds: float
) -> tuple[list[TopicPartition], list[list[Any]]]:
    """Read as `read_offsets` does, once; all requests are sent before one is awaited."""
    partitions = _list_partitions(admin, topics, timeout_seconds)
    requests = [admin.list_offsets(dict.fromkeys(partitions, spec), request_timeout=timeout_seconds) for spec in specs]
    return partitions, [[futures[partition].result() for partition in partitions] for futures in requests]


def _list_partitions(admin: AdminClient, topics: Sequence[str], timeout_seconds: float) -> list[TopicPartition]:
    metadata = admin.list_topics(timeout=timeout_seconds).topics
    for topic in topics:
        if topic not in metadata:
            raise UserError(f"Kafka has no topic {topic}; run `insights migrate`.")
        leaderless = [number for number, partition in metadata[topic].partitions.items() if partition.leader < 0]
        if leaderless:
            raise UserError(f"Partition {leaderless[0]} of topic {topic} has no leader; start its brokers.")
    return [TopicPartition(topic, number) for topic in topics for number in sorted(metadata[topic].partitions)]
