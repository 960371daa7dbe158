"""Reading the raw topic: the event id of a message, and a broker that does not answer."""

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
    """A consumer whose broker never answers."""

    def __init__(self) -> None:
        self.timeouts: list[float] = []

    def list_topics(self, _: str, timeout: float) -> None:
        self.timeouts.append(timeout)
        raise KafkaException(KafkaError(KafkaError._TRANSPORT))


def test_the_timeout_is_the_callers(monkeypatch: pytest.MonkeyPatch) -> None:
    broker = SilentBroker()
    monkeypatch.setattr(topic, "Consumer", lambda _: broker)
    with pytest.raises(UserError, match="cannot be read"):
        RawTopic(KafkaSettings(), timeout_seconds=0.25).watermarks()
    assert broker.timeouts == [0.25]


@pytest.mark.parametrize("text", ["12", "users.raw/0/3"])
def test_the_event_id_is_taken_from_the_header(text: str) -> None:
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
def test_without_a_valid_header_the_event_id_is_the_coordinates(
    headers: tuple[tuple[str, bytes | None], ...],
) -> None:
    assert read_event_id(message(*headers)) == "users.raw/1/7"
