"""Text from outside, made to be read: control characters shown as escapes, JSON indented."""

import json
import re

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\]:,]|[^\s{}\[\]:,"]+')
_INDENT = "  "


def escape_invisible(text: str, keep: str = "") -> str:
    """`text` with each character that cannot be seen, or moves others, as its escape; those of `keep` as they are."""
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() or char in keep else char.encode("unicode_escape").decode() for char in text
    )


def indent_json(text: str) -> str:
    """JSON on many lines, each name and value exactly as it stands there; other text as it is."""
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return text
    lines, depth, before = [""], 0, ""
    for token in _TOKEN.findall(text):
        closes, opened = token in "}]", before in ("{", "[")
        depth -= closes
        if before == "," or opened != closes:
            lines.append(_INDENT * depth)
        lines[-1] += f"{token} " if token == ":" else token
        depth += token in "{["
        before = token
    return "\n".join(lines)
