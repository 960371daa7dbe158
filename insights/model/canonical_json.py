"""JSON in the spelling of `orjson`, which is that of JavaScript's `JSON.stringify`: parsing it loses nothing."""

from typing import Any

import orjson


def parse_canonical(text: bytes) -> Any:
    """Parse a text, several times faster than `json` does.

    Raises:
        ValueError: the text is not JSON, or is spelled in another way: it repeats a key, has a number such as `1e2` or
            more digits than a double holds, an escape that is not needed, a lone surrogate, or white space.
    """
    value = orjson.loads(text)
    try:
        spelled = orjson.dumps(value)
    except orjson.JSONEncodeError as error:
        raise ValueError(str(error)) from None
    if spelled != text:
        raise ValueError("the text is not in the canonical spelling")
    return value


def encode_canonical(value: Any) -> bytes:
    """Return a value of `parse_canonical` as text."""
    return orjson.dumps(value)
