"""Messages in the usual form, which one regular expression reads instead of Spark's parsers of JSON.

The usual form is a record of API 1.3 or 1.4 as the source client spells it: without white space between the tokens. It
lacks no field, and none is blank, surrounded by spaces (but a street may end in some), in brackets, or has an escape.
Such a message is a record and has no key twice; its texts are those that its way by JSON leads to. A message in any
other form takes that way.
"""

from collections.abc import Iterator, Mapping

from pyspark.sql import Column
from pyspark.sql import functions as F

_CHARACTER = r'[^"\\' + "".join(map(chr, range(0x20))) + "]"
"""A character of a JSON text. The controls are listed one by one, as Java looks up single characters in a table, but
tries ranges one after another; and not escaped, as Spark compares the whole pattern with the last one for every row."""
_TEXT = rf'"((?![ {{\[]){_CHARACTER}+(?<! ))"'
_STREET = _TEXT[:-1] + ' *"'
"""A twentieth of the API's streets end in a space."""
_INTEGER = "(0|[1-9][0-9]{0,17})"
_IGNORED = rf'(?:"{_CHARACTER}*"|[1-9][0-9]{{0,17}}|0|null)'
_SHAPE: Mapping[str, object] = {
    "gender": _TEXT,
    "name": {"title": _TEXT, "first": _TEXT, "last": _TEXT},
    "location": {
        "street": {"number": _INTEGER, "name": _STREET},
        "city": _TEXT,
        "state": _TEXT,
        "country": _IGNORED,
        "postcode": f"(?:{_TEXT}|{_INTEGER})",
        "coordinates": {"latitude": _TEXT, "longitude": _TEXT},
        "timezone": {"offset": _TEXT, "description": _TEXT},
    },
    "email": _TEXT,
    "login": {"uuid": _TEXT, "username": _TEXT},
    "dob": {"date": _TEXT, "age": _IGNORED},
    "registered": {"date": _TEXT, "age": _IGNORED},
    "phone": _TEXT,
    "cell": _TEXT,
    "id": {"name": _IGNORED},
    "picture": {"large": _TEXT, "medium": _IGNORED, "thumbnail": _IGNORED},
    "nat": _TEXT,
}
_NAMED_DIFFERENTLY = {
    "location__street__number": "location__street",
    "location__street__name": "location__street",
    "dob__date": "dob",
    "registered__date": "registered",
}
_END = "\0"
"""Follows each text. No text has it, since it is a control."""


def mark_texts(value: Column) -> Column:
    """Return the raw fields of a message in the usual form, each before `_END`, or any other text as it is."""
    fields = "".join(f"{groups}{_END}" for groups in _list_groups().values())
    return F.regexp_replace(value, rf"^{_build_pattern(_SHAPE)}\z", fields)


def split_texts(marked: Column) -> Column:
    """Return an array of the raw fields that `mark_texts` has marked."""
    return F.split(marked, _END)


def name_texts(split: Column) -> dict[str, Column]:
    """Return the raw fields, by name, from that array."""
    return {name: F.get(split, F.lit(position)) for position, name in enumerate(_list_groups())}


def _build_pattern(shape: object) -> str:
    if not isinstance(shape, Mapping):
        return str(shape)
    members = (f'"{name}":{_build_pattern(child)}' for name, child in shape.items())
    return rf"\{{{','.join(members)}\}}"


def _list_groups() -> dict[str, str]:
    """Return for each raw field the groups of the pattern that hold it, as they are named in a replacement."""
    texts: dict[str, list[str]] = {}
    group = 1
    for path, pattern in _walk(_SHAPE, ""):
        count = pattern.replace("(?", "").count("(")
        groups = "".join(f"${number}" for number in range(group, group + count))
        if count:
            texts.setdefault(_NAMED_DIFFERENTLY.get(path, path), []).append(groups)
        group += count
    return {name: " ".join(parts) for name, parts in texts.items()}


def _walk(shape: Mapping[str, object], above: str) -> Iterator[tuple[str, str]]:
    for name, child in shape.items():
        if isinstance(child, Mapping):
            yield from _walk(child, f"{above}{name}__")
        else:
            yield f"{above}{name}", str(child)
