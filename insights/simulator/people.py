"""Generate records of people: a seed and a page determine the people, however many are requested."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from random import Random
from string import ascii_letters, digits
from typing import Any

from insights.simulator.formats import LEGO, get_format
from insights.simulator.masks import Draw, compile_mask
from insights.simulator.places import load_common_lists, load_lists, transliterate

REFERENCE = datetime(2026, 7, 1, tzinfo=UTC)
"""The date for which ages are computed. With the current date, a page would change after a birthday."""

FIELDS = (
    "gender",
    "name",
    "location",
    "email",
    "login",
    "registered",
    "dob",
    "phone",
    "cell",
    "id",
    "picture",
    "nat",
)

Record = dict[str, Any]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SALT = ascii_letters + digits
_PORTRAITS = "https://randomuser.me/api/portraits/"
_BORN = (-800_000_000_000, 990_000_000_000)
_BORN_1_0 = (0, 1_420_000_000_000)
"""Milliseconds since 1970. Version 1.0 has children, but nobody born before 1970."""
_REGISTERED = (1_016_688_461_000, 1_653_344_189_000)
_TITLES = {"male": ("Mr",), "female": ("Miss", "Mrs", "Ms")}
_SWISS_TITLES = {"male": ("Monsieur",), "female": ("Madame", "Mademoiselle")}


@dataclass(frozen=True, slots=True)
class Crowd:
    """The people that a request selects. `gender` is empty for both."""

    version: str
    seed: str
    page: int
    nationalities: tuple[str, ...]
    gender: str = ""


def generate_people(crowd: Crowd, count: int) -> Iterator[Record]:
    """Yield the first `count` records. As in the API, uuid and coordinates depend only on seed, page and position."""
    identity = Random(f"identity/{crowd.seed}/{crowd.page}")
    selection = (crowd.version, crowd.seed, str(crowd.page), ",".join(crowd.nationalities), crowd.gender)
    draw = Random("/".join(selection)).random
    makers = [_make_record_maker(nationality, crowd.version) for nationality in crowd.nationalities]
    for _ in range(count):
        gender = crowd.gender or ("male", "female")[int(draw() * 2)]
        yield makers[int(draw() * len(makers))](draw, identity, gender)


@cache
def _make_record_maker(nationality: str, version: str) -> Callable[[Draw, Random, str], Record]:
    style = get_format(nationality, version)
    cased = version >= "1.3"
    lists = load_lists(nationality) if cased else load_lists(nationality).to_lower()
    titles = _SWISS_TITLES if nationality == "CH" else _TITLES
    if not cased:
        titles = {gender: tuple(title.lower() for title in choices) for gender, choices in titles.items()}
    firsts = {"male": lists.male, "female": lists.female}
    born_within = _BORN_1_0 if version == "1.0" else _BORN
    phone, cell = compile_mask(style.phone), compile_mask(style.cell)
    postcode = compile_mask(style.postcode) if isinstance(style.postcode, str) else _make_number_draw(*style.postcode)
    id_number = compile_mask(style.id_mask) if style.id_mask else None
    to_local_part = transliterate if cased else _remove_spaces

    def make(draw: Draw, identity: Random, gender: str) -> Record:
        first, last = _pick(firsts[gender], draw), _pick(lists.last, draw)
        title = _pick(titles[gender], draw)
        born = _EPOCH + timedelta(milliseconds=_draw_between(*born_within, draw))
        registered = _EPOCH + timedelta(milliseconds=_draw_between(*_REGISTERED, draw))
        uuid, coordinates = _draw_identity(identity)

        location: Record = {"street": _draw_street(nationality, version, _pick(lists.streets, draw), draw)}
        location["city"] = _pick(lists.cities, draw)
        location["state"] = _pick(lists.states, draw)
        if cased and style.country:
            location["country"] = style.country
        location["postcode"] = postcode(draw)
        timezone = _pick(load_common_lists().timezones, draw)
        login = _draw_login(draw)
        if version >= "1.2":
            location["coordinates"] = coordinates
            location["timezone"] = timezone
            login = {"uuid": uuid, **login}

        dates = {"dob": _format_instant(born, version), "registered": _format_instant(registered, version)}
        if version == "1.0":
            dates = {"registered": dates["registered"], "dob": dates["dob"]}
        number = id_number(draw) if id_number else None
        if number and "{" in number:
            number = number.format(
                ddmmyy=born.strftime("%d%m%y"), yy=f"{born:%y}", mm=f"{born:%m}", sex=1 if gender == "male" else 2
            )
        return {
            "gender": gender,
            "name": {"title": title, "first": first, "last": last},
            "location": location,
            "email": f"{to_local_part(first)}.{to_local_part(last)}@example.com",
            "login": login,
            **dates,
            "phone": phone(draw),
            "cell": cell(draw),
            "id": {"name": style.id_name, "value": number},
            "picture": _draw_picture(nationality, gender, draw),
            "nat": nationality,
        }

    return make


def _pick(choices: Sequence[Any], draw: Draw) -> Any:
    return choices[int(draw() * len(choices))]


def _draw_between(low: int, high: int, draw: Draw) -> int:
    return low + int(draw() * (high - low + 1))


def _make_number_draw(low: int, high: int) -> Callable[[Draw], int]:
    return lambda draw: _draw_between(low, high, draw)


def _remove_spaces(name: str) -> str:
    return name.replace(" ", "")


def _draw_identity(identity: Random) -> tuple[str, Record]:
    bits = f"{identity.getrandbits(128):032x}"
    uuid = f"{bits[:8]}-{bits[8:12]}-4{bits[13:16]}-{'89ab'[int(bits[16], 16) % 4]}{bits[17:20]}-{bits[20:]}"
    latitude, longitude = identity.random() * 180 - 90, identity.random() * 360 - 180
    return uuid, {"latitude": f"{latitude:.4f}", "longitude": f"{longitude:.4f}"}


def _draw_street(nationality: str, version: str, name: str, draw: Draw) -> Any:
    number = _draw_between(1, 9999, draw)
    if version >= "1.3":
        return {"number": number, "name": name}
    return f"{name} {number}" if nationality == "NO" else f"{number} {name}"


def _draw_login(draw: Draw) -> Record:
    lists = load_common_lists()
    password = _pick(lists.passwords, draw)
    salt = "".join([_SALT[int(draw() * 62)] for _ in range(8)])
    salted = (password + salt).encode()
    return {
        "username": f"{_pick(lists.adjectives, draw)}{_pick(lists.animals, draw)}{_draw_between(100, 999, draw)}",
        "password": password,
        "salt": salt,
        "md5": hashlib.md5(salted, usedforsecurity=False).hexdigest(),
        "sha1": hashlib.sha1(salted, usedforsecurity=False).hexdigest(),
        "sha256": hashlib.sha256(salted).hexdigest(),
    }


def _format_instant(instant: datetime, version: str) -> Any:
    if version == "1.0":
        return int(instant.timestamp())
    if version == "1.1":
        return instant.strftime("%Y-%m-%d %H:%M:%S")
    precision = "seconds" if version == "1.2" else "milliseconds"
    age = REFERENCE.year - instant.year - ((REFERENCE.month, REFERENCE.day) < (instant.month, instant.day))
    return {"date": instant.isoformat(timespec=precision)[:-6] + "Z", "age": age}


def _draw_picture(nationality: str, gender: str, draw: Draw) -> Record:
    if nationality == LEGO:
        path = f"lego/{_draw_between(0, 9, draw)}.jpg"
    elif gender == "male":
        path = f"men/{_draw_between(0, 99, draw)}.jpg"
    else:
        path = f"women/{_draw_between(0, 96, draw)}.jpg"
    return {
        "large": _PORTRAITS + path,
        "medium": f"{_PORTRAITS}med/{path}",
        "thumbnail": f"{_PORTRAITS}thumb/{path}",
    }
