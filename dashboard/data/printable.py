"""Make untrusted text readable: escape control characters, indent JSON."""

import json
import re

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\]:,]|[^\s{}\[\]:,"]+')
_INDENT = "  "


def escape_invisible(text: str, keep: str = "") -> str:
    """Escape every character that is invisible or changes the text direction, except those in `keep`."""
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() or char in keep else char.encode("unicode_escape").decode() for char in text
    )


def indent_json(text: str) -> str:
    """Indent JSON over several lines, with each name and value as written; return other text unchanged."""
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return text
    lines, depth, previous = [""], 0, ""
    for token in _TOKEN.findall(text):
        closes, just_opened = token in "}]", previous in ("{", "[")
        depth -= closes
        if previous == "," or just_opened != closes:
            lines.append(_INDENT * depth)
        lines[-1] += f"{token} " if token == ":" else token
        depth += token in "{["
        previous = token
    return "\n".join(lines)
