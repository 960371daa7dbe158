"""Parsed JSON in which an object keeps the members whose key it repeats."""

from collections.abc import Iterable
from typing import Any

Members = Iterable[tuple[str, Any]]


class RepeatedKeys(dict[str, Any]):
    """An object with a key that occurs twice: `items()` and so `json.dumps` give every member, a lookup the last."""

    def __init__(self, members: Members) -> None:
        self._members = list(members)
        super().__init__(self._members)

    def items(self) -> Any:
        return self._members


def make_object(members: Members) -> dict[str, Any]:
    """Return an object with these members, a `RepeatedKeys` if a key is repeated: an `object_pairs_hook` of `json`."""
    members = list(members)
    document = dict(members)
    return document if len(document) == len(members) else RepeatedKeys(members)


def has_repeated_keys(value: Any) -> bool:
    """Return whether an object in the value, at any level, repeats a key."""
    pending = [value]
    while pending:
        value = pending.pop()
        if isinstance(value, RepeatedKeys):
            return True
        if isinstance(value, dict | list):
            pending += value.values() if isinstance(value, dict) else value
    return False
