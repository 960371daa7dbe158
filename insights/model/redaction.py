"""The redaction of raw values before they are stored, published or shown, whether or not they are JSON."""

import json
import re
from collections.abc import Iterator

from insights.model.credentials import KEY_PATTERN, is_secret, mask_text

_MASK = "null"
_TOKEN = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"|[{}\[\]:,]|[^\s{}\[\]:,"]+', re.DOTALL)
_KEY = re.compile(KEY_PATTERN)
_MEMBER = r"""\s*+(?:\\*+["'`](?:[^"'`\\]|\\++[^"'`\\]){0,200}+\\*+["'`]|[\w$. -]{1,50}+)\s*+[:=]"""
_END = re.compile(rf"\s*+(?:\Z|[}}\]]\s*+(?:[,}}\]]|\Z)|,{_MEMBER})")
_OPENING_QUOTE = re.compile(r"""\\*+["'`]""")
_BEGINS_LIKE_JSON = re.compile(r"[^\x21-\x7e]*+[{\[]")
_HAS_SYNTAX = re.compile(r"""["}\]]|'\s*[:,]|[:,]\s*'""")
_STRING = re.compile(r"""(["'])(?:[^"'\\]|\\.|(?!\1)["'])*+\1""", re.DOTALL)
_BRACKET = re.compile(r"[{}\[\]]")
_DECODER = json.JSONDecoder(strict=False)


def redact(value: bytes) -> bytes:
    """Return `value` with credentials and the national id replaced by null.

    JSON is redacted by its structure, and every other byte stays. In other text, a secret ends where the next member of
    the object begins, or with the text if that cannot be told. A value that begins amid JSON is withheld altogether,
    because the key of its first secret may be missing.
    """
    redacted = _redact(value)
    if b"\0" in redacted:  # An escaped key in UTF-16 shows only without them.
        plain = redacted.replace(b"\0", b"")
        return again if (again := _redact(plain)) != plain else redacted
    return redacted


def redact_text(text: str) -> str:
    """Return `redact` of a text, such as the key of a message."""
    return redact(text.encode("utf-8", "backslashreplace")).decode("utf-8", "replace")


def _redact(value: bytes) -> bytes:
    try:
        text = value.decode()
        json.loads(text, parse_int=str, parse_float=str)
    except (ValueError, RecursionError):
        return _redact_text(value.decode("iso-8859-1")).encode("iso-8859-1")
    return _redact_json(text).encode()


def _redact_json(text: str) -> str:
    parts, position, key = list[str](), 0, ""
    tokens = _TOKEN.finditer(text)
    for match in tokens:
        token = match.group()
        if token == ":" and is_secret(key):
            begin, end = _skip_value(tokens)
            parts += [text[position:begin], _MASK]
            position = end
        elif token[0] == '"':
            key = _decode_string(token)
            if (masked := mask_text(key)) != key:
                parts += [text[position : match.start()], json.dumps(masked)]
                position = match.end()
    return "".join(parts) + text[position:]


def _skip_value(tokens: Iterator[re.Match[str]]) -> tuple[int, int]:
    """Consume the tokens of one value, and return where it begins and ends."""
    match = next(tokens)
    begin, depth = match.start(), int(match.group() in "{[")
    while depth:
        match = next(tokens)
        depth += (match.group() in "{[") - (match.group() in "}]")
    return begin, match.end()


def _decode_string(token: str) -> str:
    return str(json.loads(token)) if "\\" in token else token[1:-1]


def _redact_text(text: str) -> str:
    if _begins_amid_json(text):
        return _MASK
    parts, position = list[str](), 0
    while key := _KEY.search(text, position):
        parts += [text[position : key.end()], _MASK]
        position = _find_end(text, key.end())
    return "".join(parts) + text[position:]


def _begins_amid_json(text: str) -> bool:
    if not _BEGINS_LIKE_JSON.match(text):
        return _HAS_SYNTAX.search(text) is not None
    return _closes_more_than_it_opens(text) or _closes_more_than_it_opens(_STRING.sub("", text))


def _closes_more_than_it_opens(text: str) -> bool:
    depth = 0
    for bracket in _BRACKET.finditer(text):
        depth += 1 if bracket.group() in "{[" else -1
        if depth < 0:
            return True
    return False


def _find_end(text: str, begin: int) -> int:
    """Return where the value that begins there ends: at the end of the text if nothing better is certain."""
    try:
        _, end = _DECODER.raw_decode(text, begin)
        if _END.match(text, end):
            return end
    except (ValueError, RecursionError):
        pass
    if text[begin : begin + 1] in ("{", "["):
        return len(text)
    quote = _OPENING_QUOTE.match(text, begin)
    closing = re.compile(rf"(?<!\\){re.escape(quote.group())}" if quote else "(?=[,}\\]])")
    for match in closing.finditer(text, quote.end() if quote else begin):
        if _END.match(text, match.end()):
            return len(text) if _KEY.search(text, begin, match.end()) else match.end()
    return len(text)
