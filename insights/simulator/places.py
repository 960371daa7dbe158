"""Lists of names, streets and cities, read once from `data/`."""

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
    """The lists of one nationality, in the script that the API uses."""

    male: list[str]
    female: list[str]
    last: list[str]
    streets: list[str]
    cities: list[str]
    states: list[str]

    def to_lower(self) -> "Lists":
        """Return the lists in lower case, as in API versions before 1.3."""
        return Lists(*([text.lower() for text in getattr(self, name)] for name in self.__slots__))


@dataclass(frozen=True, slots=True)
class CommonLists:
    """The lists that all nationalities share."""

    adjectives: list[str]
    animals: list[str]
    passwords: list[str]
    timezones: list[dict[str, str]]


def _read(name: str) -> Any:
    return json.loads((files("insights.simulator") / "data" / f"{name}.json").read_text("utf-8"))


@cache
def load_lists(nationality: str) -> Lists:
    """Load the nationality's lists. LEGO figures live in the United States."""
    return Lists(**_read("us" if nationality == LEGO else nationality.lower()))


@cache
def load_common_lists() -> CommonLists:
    """Load the lists that all nationalities share."""
    return CommonLists(**_read("common"))


@cache
def transliterate(name: str) -> str:
    """Return a name as in the local part of an e-mail address since API version 1.3: a to z, digits and hyphens."""
    folded = name.lower().translate(_LATIN).translate(_PERSIAN)
    plain = unicodedata.normalize("NFKD", folded).encode("ascii", "ignore").decode()
    return "".join(letter for letter in plain if letter.isalnum() or letter == "-")
