"""What the admin client says of the raw topic, and what is assumed where it may not say it."""

from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from insights.clients.kafka_admin import read_message_limit
from insights.settings import KafkaSettings

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
