"""Values that hide a canary as a credential or national id, in any spelling and nesting, whole or broken; seeded."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any

from insights.model.credentials import CREDENTIAL_FIELDS
from tests.helpers.raw_users import user

CANARY = "Zk7Canary"
"""Begins every secret. No shorter part of it that a cut may leave counts as a secret."""
LONG = 200_000
_SERVED = ("name__first", "name__last", "location__city", "location__state", "login__username", "phone", "email", "nat")
_OTHERS = ("", "login", "name", "location", "picture", "location__street", "location__coordinates", "dob", "extra")
_TAILS = ("", "é", "😀", 'a"b', "a'b", "a,b", "a\\b", "a}b", "a]b", "a:b", 'x","y', "{", " b", "\u2028", "\\\\")


@dataclass(frozen=True)
class HiddenSecret:
    """A value of the topic. `fits_page` says whether it is a record that the source may return."""

    value: bytes
    fits_page: bool
    shape: str


def hide_secret(random: Random, user_id: str) -> HiddenSecret:
    """Return one value with a secret, most of it the record of the user `user_id`."""
    [hide] = random.choices(list(_WEIGHTS), list(_WEIGHTS.values()))
    return hide(random, user_id)


def find_canaries(content: bytes) -> list[bytes]:
    """Return what is left of canaries, each with its surroundings, in plain text, UTF-16 and escapes."""
    plain = content.replace(b"\0", b"")
    places = [plain.find(CANARY.encode())]
    return [plain[max(0, place - 80) : place + 40] for place in places if place >= 0]


def _spell_key(random: Random, name: str) -> str:
    """Return a spelling of the key as it stands between quotes."""
    letters = "".join(random.choice((letter.lower(), letter.upper())) for letter in name)
    if random.random() < 0.3:
        return letters
    spelled = "".join(
        random.choice((f"\\u{ord(letter):04x}", f"\\u{ord(letter):04X}")) if random.random() < 0.3 else letter
        for letter in letters
    )
    before, after = (random.choice(("", "", "", " ", "  ", "\\t", "\u00a0", "\\u0020", "\u200b")) for _ in range(2))
    return f"{before}{spelled}{after}"


def _make_secret(random: Random) -> str:
    return f"{CANARY}{random.getrandbits(32):08x}{random.choice(_TAILS)}"


def _make_value(random: Random) -> str:
    """Return JSON text that holds a canary."""
    text = json.dumps(_make_secret(random), ensure_ascii=random.random() < 0.5)
    kind = random.randrange(8)
    if kind == 0:
        return f'{{"a": [1, {{"b}}": {text}}}], "c": {text}}}'
    if kind == 1:
        return f'[["]", {text}], {text}]'
    if kind == 2:
        return f"{{{text}: 1}}"
    return text


def _make_member(random: Random) -> str:
    name = random.choice((*CREDENTIAL_FIELDS, "id"))
    blanks = random.choice(("", "", " ", "\n\t "))
    return f'"{_spell_key(random, name)}"{blanks}:{blanks}{_make_value(random)}'


def _insert_members(random: Random, user_id: str, members: list[str]) -> str:
    """Return a valid record as JSON with these members in one of its objects, at its beginning or end."""
    document = user(login__uuid=user_id)
    document["extra"] = {"x": 1}
    node: Any = document
    path = random.choice(_OTHERS)
    for name in filter(None, path.split("__")):
        node = node[name]
    mark = {"first": "@first@", "last": "@last@"}
    content = {"@first@": 0, **node, "@last@": 0}
    node.clear()
    node.update(content)
    text = json.dumps(document, ensure_ascii=False)
    chosen, other = random.sample(sorted(mark.values()), 2)
    text = text.replace(f'"{chosen}": 0', ", ".join(members))
    return text.replace(f', "{other}": 0', "").replace(f'"{other}": 0, ', "")


def _hide_in_record(random: Random, user_id: str) -> HiddenSecret:
    text = _insert_members(random, user_id, [_make_member(random) for _ in range(random.randint(1, 3))])
    return HiddenSecret(text.encode(), True, "record")


def _hide_in_rejected_record(random: Random, user_id: str) -> HiddenSecret:
    text = _hide_in_record(random, user_id).value.replace(b'"gender": "female"', b'"gender": "x"')
    return HiddenSecret(text, True, "rejected")


def _hide_under_repeated_key(random: Random, user_id: str) -> HiddenSecret:
    member = _make_member(random)
    repeated = random.choice((member, '"x": 1'))
    return HiddenSecret(_insert_members(random, user_id, [repeated, member, repeated]).encode(), True, "repeated")


def _hide_in_string(random: Random, user_id: str) -> HiddenSecret:
    text = f"{{{_make_member(random)}}}"
    for _ in range(random.randint(0, 2)):
        text = json.dumps({"inner": text}, ensure_ascii=random.random() < 0.5)
    text = random.choice((text, f"see {text} there", f"'{text}'"))
    record = user(login__uuid=user_id, **{random.choice((*_SERVED, "note")): text})
    return HiddenSecret(json.dumps(record, ensure_ascii=False).encode(), True, "in a string")


def _hide_as_assignment(random: Random, user_id: str) -> HiddenSecret:
    key = random.choice((*CREDENTIAL_FIELDS, "PassWord", "Salt"))
    text = f"{key}{random.choice(('=', ': ', ' = ', ' => '))}{_make_secret(random)}"
    record = user(login__uuid=user_id, **{random.choice(_SERVED): text})
    return HiddenSecret(json.dumps(record, ensure_ascii=False).encode(), True, "assigned")


def _hide_deep(random: Random, user_id: str) -> HiddenSecret:
    levels = random.choice((5, 31, 60, 400, 3000))
    opening, closing = random.choice((("[", "]"), ('{"x":', "}")))
    deep = f'"deep": {opening * levels}{{{_make_member(random)}}}{closing * levels}'
    return HiddenSecret(_insert_members(random, user_id, [deep]).encode(), False, "deep")


def _hide_in_long_value(random: Random, user_id: str) -> HiddenSecret:
    filler = random.choice(("a", '\\"', "é", "password ", '"x":', "{")) * (LONG // 10)
    members = [f'"long": {json.dumps(filler)}', _make_member(random)]
    return HiddenSecret(_insert_members(random, user_id, members).encode(), False, "long")


def _hide_in_single_quotes(random: Random, user_id: str) -> HiddenSecret:
    text = _insert_members(random, user_id, [_make_member(random)])
    return HiddenSecret(text.replace('"', "'").encode(), False, "single quotes")


def _hide_without_quotes(random: Random, user_id: str) -> HiddenSecret:
    key = _spell_key(random, random.choice((*CREDENTIAL_FIELDS, "id")))
    value = random.choice((_make_value(random), f"{CANARY}1 b", f"{CANARY}2,b"))
    text = f"{{{key}: {value}, x: 1, login: {{uuid: {user_id}}}}}"
    return HiddenSecret(text.encode(), False, "no quotes")


def _hide_in_other_bytes(random: Random, user_id: str) -> HiddenSecret:
    value = _hide_in_record(random, user_id).value
    before, after = (random.choice((b"", b"\xff", b"\xef\xbb\xbf", b"\x00", b"\xed\xa0\x80")) for _ in range(2))
    changed = random.choice(
        (
            before + value + after,
            value.replace(b"Lyon", b"Ly\xffon"),
            value.replace(b"Lyon", b"Ly\x00on"),
            value.decode().encode("utf-16"),
            value.decode().encode("utf-16-be"),
            value.decode().encode("utf-32-le"),
        )
    )
    return HiddenSecret(changed, False, "other bytes")


def _hide_in_cut_value(random: Random, user_id: str) -> HiddenSecret:
    value = random.choice((_hide_in_record, _hide_in_string, _hide_in_single_quotes))(random, user_id).value
    place = random.randrange(1, len(value))
    return HiddenSecret(random.choice((value[:place], value[place:])), False, "cut")


def _hide_in_damaged_value(random: Random, user_id: str) -> HiddenSecret:
    value = _hide_in_record(random, user_id).value
    other = random.choice((b"", b'"', b",", b"}", b"{", b"\\", b"\xff", b"\n", b"'"))
    place = value.index(b"Lyon") if random.random() < 0.5 else value.rindex(CANARY.encode()) + len(CANARY)
    return HiddenSecret(value[:place] + other + value[place:] + b"}" * random.randint(0, 1), False, "damaged")


_WEIGHTS: dict[Callable[[Random, str], HiddenSecret], int] = {
    _hide_in_record: 10,
    _hide_in_rejected_record: 10,
    _hide_under_repeated_key: 10,
    _hide_in_string: 10,
    _hide_as_assignment: 10,
    _hide_deep: 5,
    _hide_in_long_value: 1,
    _hide_in_single_quotes: 10,
    _hide_without_quotes: 10,
    _hide_in_other_bytes: 10,
    _hide_in_cut_value: 14,
    _hide_in_damaged_value: 10,
}
