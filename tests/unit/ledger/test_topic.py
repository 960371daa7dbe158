"""Reading the raw topic: the event id of a message."""

from types import SimpleNamespace

import pytest

from insights.ledger.topic import read_event_id


def message(*headers: tuple[str, bytes | None]) -> SimpleNamespace:
    return SimpleNamespace(
        headers=lambda: list(headers), topic=lambda: "users.raw", partition=lambda: 1, offset=lambda: 7
    )


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
