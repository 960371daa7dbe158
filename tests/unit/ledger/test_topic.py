"""Reading the raw topic: the event id of a message."""

from dataclasses import replace
from datetime import UTC, datetime
from types import SimpleNamespace
from uuid import UUID

import pytest

from insights.ledger.topic import read_identity
from insights.model.message import RawMessage, digest_record


def message(*headers: tuple[str, bytes | None]) -> SimpleNamespace:
    return SimpleNamespace(
        headers=lambda: list(headers),
        topic=lambda: "users.raw",
        partition=lambda: 1,
        offset=lambda: 7,
        key=lambda: b"key",
        value=lambda: b"{}",
    )


@pytest.mark.parametrize("text", ["12", "users.raw/0/3"])
def test_the_event_id_is_taken_from_the_header(text: str) -> None:
    assert read_identity(message(("batch_id", b"9"), ("event_id", text.encode())))[0] == text


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
    assert read_identity(message(*headers)) == ("users.raw/1/7", None)


def test_only_a_message_made_from_a_staged_row_has_a_digest() -> None:
    staged = RawMessage("12", UUID(int=5), b"{}", "seed/1", 9, datetime(2026, 1, 1, tzinfo=UTC))
    digest = digest_record("12", str(UUID(int=5)), "seed/1", "1767225600000", b"{}")
    assert read_identity(as_message(staged)) == ("12", digest)
    assert read_identity(as_message(replace(staged, version=10))) == ("12", digest)
    assert read_identity(as_message(replace(staged, value=b"[]")))[1] not in (None, digest)
    assert read_identity(as_message(replace(staged, redrives=1))) == ("12", None)
    assert read_identity(as_message(replace(staged, event_id="users.raw/0/3"))) == ("users.raw/0/3", None)


def as_message(raw: RawMessage) -> SimpleNamespace:
    return SimpleNamespace(headers=raw.headers, key=lambda: str(raw.key).encode(), value=lambda: raw.value)
