"""A request's parameters as the Random User API reads them: what it does not understand, it replaces in silence."""

from collections.abc import Mapping
from dataclasses import dataclass
from secrets import token_hex

from insights.simulator.formats import LEGO, nationalities
from insights.simulator.people import FIELDS, Crowd

MAX_RESULTS = 5000
MAX_PAGE = 10_000
_NATIONALITY_SEED_LENGTH = 18


@dataclass(frozen=True, slots=True)
class Query:
    """What is asked for, and `seed` as the answer's info block repeats it."""

    crowd: Crowd
    results: int
    seed: str
    fields: frozenset[str]
    info: bool


def read_query(version: str, parameters: Mapping[str, str]) -> Query:
    """The habits kept: one row for more than 5,000; page 1 for a page out of range; all nationalities when one is
    unknown; `gender` ignored beside a seed; a seed of 18 characters names a nationality; `lego` changes the seed shown.
    """
    known = nationalities(version)
    results = _number(parameters.get("results"), 1)
    page = _number(parameters.get("page"), 1) or 1
    asked_seed = parameters.get("seed", "")
    gender = parameters.get("gender", "")
    codes = parameters.get("nat") or parameters.get("nationality", "")
    asked = tuple(code for code in codes.upper().split(",") if code)
    chosen = asked if asked and set(asked) <= set(known) else known
    seed = asked_seed or token_hex(8)
    shown = seed
    if parameters.get("lego", "false") != "false":
        chosen, shown = (LEGO,), f"{seed}-1"
    if len(asked_seed) == _NATIONALITY_SEED_LENGTH and 0 <= (index := _hexadecimal(asked_seed[-2:])) < len(known):
        chosen, shown = (known[index],), f"{seed}{index:02x}"
    return Query(
        crowd=Crowd(
            version=version,
            seed=seed,
            page=page if 0 < page <= MAX_PAGE else 1,
            nationalities=chosen,
            gender=gender if gender in ("male", "female") and not asked_seed else "",
        ),
        results=results if 0 <= results <= MAX_RESULTS else 1,
        seed=shown,
        fields=_fields(parameters),
        info="noinfo" not in parameters,
    )


def _fields(parameters: Mapping[str, str]) -> frozenset[str]:
    included = _names(parameters.get("inc", "")) or frozenset(FIELDS)
    return (included & frozenset(FIELDS)) - _names(parameters.get("exc", ""))


def _names(text: str) -> frozenset[str]:
    return frozenset(name.strip().lower() for name in text.split(",") if name.strip())


def _number(text: str | None, default: int) -> int:
    try:
        return int(text or "")
    except ValueError:
        return default


def _hexadecimal(text: str) -> int:
    try:
        return int(text, 16)
    except ValueError:
        return -1
