"""What the admin client says of the raw topic, and what is assumed where it may not say it."""

from concurrent.futures import Future
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from insights.clients.kafka_admin import get_admin, read_message_limit
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
