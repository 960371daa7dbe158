"""Messages that put every length and every Unicode plane into each field, header and key of a record."""

import json
import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any
from uuid import UUID

from tests.helpers.oracle import Message
from tests.helpers.raw_users import user

FIELDS = (
    *("gender", "nat", "name", "name__title", "name__first", "name__last"),
    *("location", "location__street", "location__street__number", "location__street__name", "location__city"),
    *("location__state", "location__country", "location__postcode", "location__coordinates__latitude"),
    *("location__coordinates__longitude", "location__timezone__offset", "location__timezone__description"),
    *("email", "login__uuid", "login__username", "dob", "dob__date", "registered", "registered__date"),
    *("phone", "cell", "id__name", "picture__large", "unknown"),
)
TEXTS = (
    *("name__title", "name__first", "name__last", "location__street__name", "location__city", "location__state"),
    *("location__postcode", "location__timezone__description", "login__username", "phone", "cell"),
)
HEADERS = ("event_id", "batch_id", "version", "event_time", "redrives", "traceparent", "schema_version")
SENT_MILLISECONDS = int(time.time() * 1000)
"""The timestamp of every message; a broker deletes messages that are older than its retention."""
_CHUNK = 40
_UNENCODABLE = range(0xD800, 0xE000)


@dataclass(frozen=True)
class FuzzSize:
    """How much is generated.

    These are `lengths` in characters for `kinds` of texts in every field, `large` lengths in every `large_step`th
    field, and every `step`th code point.
    """

    lengths: Sequence[int]
    large: Sequence[int]
    large_step: int
    kinds: int
    step: int


CI = FuzzSize((1, 49, 250, 255, 2048, 2700, 3000, 66_000), (1_048_000, 1_100_000, 10_000_000), 9, 2, 257)
FULL = FuzzSize(
    (
        *(
            1,
            2,
            3,
            10,
            35,
            36,
            37,
            49,
            50,
            51,
            99,
            100,
            101,
            199,
            200,
            201,
            249,
            250,
            251,
            253,
            254,
            255,
            256,
            500,
            900,
        ),
        *(1000, 2000, 2047, 2048, 2049, 2600, 2700, 2704, 2705, 2712, 3000, 8000, 8191, 8192, 16_000, 32_767, 32_768),
        *(65_000, 65_535, 65_536, 70_000, 100_000, 262_144),
    ),
    (524_288, 1_000_000, 1_040_000, 1_048_000, 1_048_588, 1_100_000, 2_000_000, 5_000_000, 10_000_000),
    1,
    5,
    1,
)


def _repeat(text: str) -> Callable[[int], str]:
    return lambda length: (text * (length // len(text) + 1))[:length]


@cache
def _draw_letters(length: int) -> str:
    """Letters that do not compress, so that an index holds few of them."""
    random_ = random.Random(length)
    return "".join(random_.choices("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ", k=length))


@cache
def _draw_ideographs(length: int) -> str:
    random_ = random.Random(length)
    return "".join(chr(code) for code in random_.choices(range(0x20000, 0x2A000), k=length))


KINDS: tuple[Callable[[int], str], ...] = (
    _draw_letters,
    _repeat("x"),
    _draw_ideographs,
    _repeat('"\\'),
    _repeat("a\u0301ß "),
)


def generate_messages(topic: str, size: FuzzSize) -> Iterator[Message]:
    """Yield messages without coordinates, each of a user of its own."""
    values: list[tuple[dict[str, Any], dict[str, str], Callable[[str], str]]] = []
    for number, field in enumerate(FIELDS):
        for kind in KINDS[: size.kinds]:
            values += [({field: kind(length)}, {}, str) for length in size.lengths]
        if number % size.large_step == 0:
            values += [({field: KINDS[0](length)}, {}, str) for length in size.large]
    for header in HEADERS:
        values += [({}, {header: KINDS[0](length)}, str) for length in size.lengths]
        if header != "event_id":  # A number claims to be a staged row, which the ledger would miss.
            values += [({}, {header: "9" * length}, str) for length in size.lengths]
    values += [({}, {}, lambda uid, length=length: uid + " " * length) for length in size.lengths]  # type: ignore[misc]
    for texts in generate_plane_texts(size.step):
        values.append((texts, {}, str))
    for number, (fields, headers, make_key) in enumerate(values):
        uid = str(UUID(int=(number % 16 << 124) + number + 1))
        record = user(**{"login__uuid": uid} | fields)
        value = json.dumps(record, ensure_ascii=number % 3 == 0).encode("utf-8", "surrogatepass")
        yield Message(
            value,
            make_key(uid).encode(),
            topic,
            timestamp=SENT_MILLISECONDS,
            headers=tuple((name, text.encode()) for name, text in headers.items()),
        )


def generate_plane_texts(step: int) -> Iterator[dict[str, str]]:
    """Yield records' texts that together hold every `step`th code point, at least some of each plane."""
    codes = [code for code in range(1, 0x110000, step) if code not in _UNENCODABLE]
    codes += [plane + code for plane in range(0, 0x110000, 0x10000) for code in (0xFDD0, 0xFFFE, 0xFFFF)]
    per_record = _CHUNK * len(TEXTS)
    for start in range(0, len(codes), per_record):
        chunk = codes[start : start + per_record]
        yield {field: "n" + "".join(map(chr, chunk[n * _CHUNK : (n + 1) * _CHUNK])) for n, field in enumerate(TEXTS)}


def make_updates(number: int, count: int, topic: str) -> list[Message]:
    """Updates of one user within one millisecond, without headers."""
    uid = str(UUID(int=number))
    values = [json.dumps(user(login__uuid=uid, login__username=f"update {n}")).encode() for n in range(count)]
    return [Message(value, uid.encode(), topic, timestamp=SENT_MILLISECONDS) for value in values]
