"""Small raw records in the shape of each API version."""

import json
from typing import Any

from tests.helpers.oracle import Message

UUID = "2d5afd5e-a598-469f-9933-4edba18bcefb"


def user(**changes: Any) -> dict[str, Any]:
    """Return a valid record of API 1.4 with `changes` by path, `__` standing for a dot; `...` removes the field.

    A change inside a value that is not an object is ignored.
    """
    record: dict[str, Any] = {
        "gender": "female",
        "name": {"title": "Ms", "first": "Élise", "last": "de Vries"},
        "location": {
            "street": {"number": 12, "name": "Rue de la Paix"},
            "city": "Lyon",
            "state": "Rhône",
            "country": "France",
            "postcode": 69001,
            "coordinates": {"latitude": "45.7500", "longitude": "4.8500"},
            "timezone": {"offset": "+1:00", "description": "Brussels, Copenhagen, Madrid, Paris"},
        },
        "email": "elise.devries@example.com",
        "login": {"uuid": UUID, "username": "bluefox12"},
        "dob": {"date": "1984-02-29T10:11:12.345Z", "age": 42},
        "registered": {"date": "2015-05-05T05:05:05.005Z", "age": 11},
        "phone": "04-72-10-30-30",
        "cell": "06-12-34-56-78",
        "id": {"name": "INSEE"},
        "picture": {"large": "https://randomuser.me/api/portraits/women/62.jpg"},
        "nat": "FR",
    }
    for path, value in changes.items():
        *parents, leaf = path.split("__")
        node: Any = record
        for parent in parents:
            node = node.get(parent) if isinstance(node, dict) else None
        if not isinstance(node, dict):
            continue
        if value is ...:
            del node[leaf]
        else:
            node[leaf] = value
    return record


def user_1_2(**changes: Any) -> dict[str, Any]:
    """Return a record of API 1.2: lower case, street as text, dates without milliseconds."""
    return user(
        **{
            "name": {"title": "ms", "first": "jean-marie", "last": "o'brien"},
            "location__street": "6894 windsor road",
            "location__city": "aix-en-provence",
            "location__state": "bouches-du-rhône",
            "dob": {"date": "1988-10-25T03:01:06Z", "age": 38},
            "registered": {"date": "2013-07-01T21:14:49Z", "age": 13},
        }
        | changes
    )


def user_1_1(**changes: Any) -> dict[str, Any]:
    """Return a record of API 1.1: no id, dates as text."""
    return user_1_2(
        **{
            "login": {"username": "brownduck326"},
            "dob": "1991-03-17 15:11:50",
            "registered": "2014-04-06 08:47:45",
            "location": {"street": "6894 windsor road", "city": "lyon", "state": "ain", "postcode": "Q4 8YT"},
        }
        | changes
    )


def message(document: object, offset: int = 0, key: str | None = UUID, **changes: Any) -> Message:
    """Return a message with the record, or the given bytes, as its value."""
    value = document if isinstance(document, bytes) else json.dumps(document, ensure_ascii=False).encode()
    return Message(**{"value": value, "key": None if key is None else key.encode(), "offset": offset} | changes)
