"""Which record a message of the raw topic carries."""

from types import SimpleNamespace

import pytest
from confluent_kafka import KafkaError, KafkaException

from insights.errors import UserError
from insights.ledger import topic
from insights.ledger.topic import RawTopic, read_event_id
from insights.settings import KafkaSettings


def message(*headers: tuple[str, bytes | None]) -> SimpleNamespace:
    return SimpleNamespace(
        headers=lambda: list(headers), topic=lambda: "users.raw", partition=lambda: 1, offset=lambda: 7
    )


class SilentBroker:
    """A consumer whose broker does not answer in time."""

    def __init__(self) -> None:
        self.waited: list[float] = []

    def list_topics(self, _: str, timeout: float) -> None:
        self.waited.append(timeout)
        raise KafkaException(KafkaError(KafkaError._TRANSPORT))


def test_a_broker_may_be_silent_for_as_long_as_the_caller_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    broker = SilentBroker()
    monkeypatch.setattr(topic, "Consumer", lambda _: broker)
    with pytest.raises(UserError, match="cannot be read"):
        RawTopic(KafkaSettings(), timeout_seconds=0.25).watermarks()
    assert broker.waited == [0.25]


@pytest.mark.parametrize("text", ["12", "users.raw/0/3"])
def test_a_message_goes_by_the_event_id_of_its_header(text: str) -> None:
    assert read_event_id(message(("batch_id", b"9"), ("event_id", text.encode()))) == text


@pytest.mark.parametrize(
    "headers",
    [
        (),
        (("event_id", None),),
        (("event_id", b"order-17"),),
        (("event_id", b"5\n"),),
        (("event_id", b"\xff"),),
        (("event_id", None), ("event_id", b"12")),
    ],
)
def test_a_header_that_the_stream_does_not_believe_leaves_the_coordinates(
    headers: tuple[tuple[str, bytes | None], ...],
) -> None:
    assert read_event_id(message(*headers)) == "users.raw/1/7"
