"""What the admin client says of the raw topic, and what is assumed where it may not say it."""

from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from insights.clients.kafka_admin import get_admin, read_message_limit, read_watermarks
from insights.settings import KafkaSettings
from tests.helpers.certificates import write_certificates

SETTINGS = KafkaSettings(max_message_bytes=5000)


class Admin:
    """An admin client whose broker answers a request for a topic's configuration with `answer`."""

    def __init__(self, answer: object) -> None:
        self._answer = answer

    def describe_configs(self, resources: list[Any], **_: object) -> dict[Any, Future[Any]]:
        future: Future[Any] = Future()
        if isinstance(self._answer, Exception):
            future.set_exception(self._answer)
        else:
            future.set_result({"max.message.bytes": SimpleNamespace(value=self._answer)})
        return dict.fromkeys(resources, future)


@pytest.mark.parametrize(
    ("answer", "limit"),
    [("20971520", 20_971_520), (KafkaException(KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED)), 5000)],
)
def test_the_limit_of_messages_is_the_topics_or_that_of_the_settings(answer: object, limit: int) -> None:
    admin: Any = Admin(answer)
    assert read_message_limit(admin, SETTINGS) == limit


def test_the_client_is_created_again_when_the_ca_has_new_certificates(tmp_path: Path) -> None:
    settings = KafkaSettings(security_protocol="SSL", ca_file=write_certificates(tmp_path, "kafka", "localhost"))
    before = get_admin(settings)
    assert get_admin(settings) is before
    write_certificates(tmp_path, "kafka", "localhost")
    assert get_admin(settings) is not before


class MovingAdmin:
    """An admin client of topic `t` with one partition, whose offset requests fail with `errors` before they succeed."""

    def __init__(self, errors: list[int]) -> None:
        self._errors: Iterator[int] = iter(errors)
        self.listed = 0

    def list_topics(self, **_: object) -> SimpleNamespace:
        self.listed += 1
        return SimpleNamespace(topics={"t": SimpleNamespace(partitions={0: SimpleNamespace(leader=1)})})

    def list_offsets(self, asked: dict[TopicPartition, Any], **_: object) -> dict[TopicPartition, Future[Any]]:
        future: Future[Any] = Future()
        if error := next(self._errors, None):
            future.set_exception(KafkaException(KafkaError(error)))
        else:
            future.set_result(SimpleNamespace(offset=7))
        return dict.fromkeys(asked, future)


@pytest.mark.parametrize(
    "error", [KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.LEADER_NOT_AVAILABLE, KafkaError.UNKNOWN_TOPIC_OR_PART]
)
def test_a_partition_whose_leader_changes_is_looked_up_and_asked_again(error: int) -> None:
    admin: Any = MovingAdmin([error])
    assert read_watermarks(admin, "t") == {0: (7, 7)}
    assert admin.listed == 2


@pytest.mark.parametrize(
    ("error", "seconds"),
    [(KafkaError.TOPIC_AUTHORIZATION_FAILED, 20.0), (KafkaError.NOT_LEADER_FOR_PARTITION, 0.0)],
)
def test_other_errors_and_a_leader_that_stays_unknown_are_raised(error: int, seconds: float) -> None:
    admin: Any = MovingAdmin([error] * 100)
    with pytest.raises(KafkaException) as raised:
        read_watermarks(admin, "t", seconds)
    assert (raised.value.args[0].code(), admin.listed) == (error, 1)
