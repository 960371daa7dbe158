"""Name, street and city lists, read once from `data/`."""

import json
import unicodedata
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from insights.simulator.formats import LEGO

_LATIN = str.maketrans({"ø": "o", "æ": "ae", "å": "a", "ß": "ss", "đ": "d", "ı": "i", "ł": "l"})
_PERSIAN = str.maketrans(
    dict(
        zip(
            "اآبپتثجچحخدذرزژسشصضطظعغفقکگلمنوهی",
            "a|aa|b|p|t|th|j|ch|h|kh|d|dh|r|z|zh|s|sh|s|d|t|z|a|gh|f|q|kh|g|l|m|n|w|h|y".split("|"),  # noqa: SIM905
            strict=True,
        )
    )
)


@dataclass(frozen=True, slots=True)
class Lists:
    """One nationality's lists, in its own script where the API writes it so."""

    male: list[str]
    female: list[str]
    last: list[str]
    streets: list[str]
    cities: list[str]
    states: list[str]

    def lowered(self) -> "Lists":
        """As API versions before 1.3 write them."""
        return Lists(*([text.lower() for text in getattr(self, name)] for name in self.__slots__))


@dataclass(frozen=True, slots=True)
class Common:
    """Lists that no nationality owns."""

    adjectives: list[str]
    animals: list[str]
    passwords: list[str]
    timezones: list[dict[str, str]]


def _read(name: str) -> Any:
    return json.loads((files("insights.simulator") / "data" / f"{name}.json").read_text("utf-8"))


@cache
def lists_of(nationality: str) -> Lists:
    """The nationality's lists; LEGO figures live in the United States."""
    return Lists(**_read("us" if nationality == LEGO else nationality.lower()))


@cache
def common() -> Common:
    return Common(**_read("common"))


@cache
def transliterate(name: str) -> str:
    """A name as the left side of an address has it since API version 1.3: a to z, digits, hyphens."""
    folded = name.lower().translate(_LATIN).translate(_PERSIAN)
    plain = unicodedata.normalize("NFKD", folded).encode("ascii", "ignore").decode()
    return "".join(letter for letter in plain if letter.isalnum() or letter == "-")
