"""Parse the parameters of a request as the Random User API does: invalid values silently become defaults."""

from collections.abc import Mapping
from dataclasses import dataclass
from secrets import token_hex

from insights.model.codes import lower_ascii, upper_ascii
from insights.simulator.formats import LEGO, list_nationalities
from insights.simulator.people import FIELDS, Crowd

MAX_RESULTS = 5000
MAX_PAGE = 10_000
_NATIONALITY_SEED_LENGTH = 18


@dataclass(frozen=True, slots=True)
class Query:
    """A parsed request. `seed` is the seed as the info block of the response repeats it."""

    crowd: Crowd
    results: int
    seed: str
    fields: frozenset[str]
    info: bool


def read_query(version: str, parameters: Mapping[str, str]) -> Query:
    """Parse the parameters with the quirks of the API.

    More than 5,000 rows become one row, a page out of range becomes page 1, and one unknown nationality selects all.
    `gender` is ignored if there is a seed, a seed of 18 characters selects a nationality, and `lego` changes the seed
    in the response.
    """
    known = list_nationalities(version)
    results = _parse_integer(parameters.get("results"), 1)
    page = _parse_integer(parameters.get("page"), 1) or 1
    requested_seed = parameters.get("seed", "")
    gender = parameters.get("gender", "")
    codes = parameters.get("nat") or parameters.get("nationality", "")
    requested = tuple(code for code in upper_ascii(codes).split(",") if code)
    selected = requested if requested and set(requested) <= set(known) else known
    seed = requested_seed or token_hex(8)
    shown_seed = seed
    if parameters.get("lego", "false") != "false":
        selected, shown_seed = (LEGO,), f"{seed}-1"
    if len(requested_seed) == _NATIONALITY_SEED_LENGTH and 0 <= (
        index := _parse_hexadecimal(requested_seed[-2:])
    ) < len(known):
        selected, shown_seed = (known[index],), f"{seed}{index:02x}"
    return Query(
        crowd=Crowd(
            version=version,
            seed=seed,
            page=page if 0 < page <= MAX_PAGE else 1,
            nationalities=selected,
            gender=gender if gender in ("male", "female") and not requested_seed else "",
        ),
        results=results if 0 <= results <= MAX_RESULTS else 1,
        seed=shown_seed,
        fields=_select_fields(parameters),
        info="noinfo" not in parameters,
    )


def _select_fields(parameters: Mapping[str, str]) -> frozenset[str]:
    included = _split_names(parameters.get("inc", "")) or frozenset(FIELDS)
    return (included & frozenset(FIELDS)) - _split_names(parameters.get("exc", ""))


def _split_names(text: str) -> frozenset[str]:
    return frozenset(lower_ascii(name.strip()) for name in text.split(",") if name.strip())


def _parse_integer(text: str | None, default: int) -> int:
    try:
        return int(text or "")
    except ValueError:
        return default


def _parse_hexadecimal(text: str) -> int:
    try:
        return int(text, 16)
    except ValueError:
        return -1
