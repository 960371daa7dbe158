"""Counts as sentences print them, and URLs without what is secret in them."""

import re

_API_PARAMETERS = frozenset(
    ("results", "page", "seed", "gender", "nat", "nationality", "inc", "exc", "format", "fmt", "noinfo", "dl", "lego")
)
"""The documented parameters of the Random User API. Any other may be a key."""
_MASK = "***"
_USER_INFO = re.compile(r"//[^/?#\s]*@")
_PARAMETER = re.compile(r"(?P<start>[?&;])(?P<name>[^=&;#\s]+)(?P<value>=[^&;#]*)?")
_PARAMETER_IN_TEXT = re.compile(r"(?P<start>[?&;])(?P<name>[^=&;#\s\"'<>)]+)(?P<value>=[^&;#\s\"'<>)]*)?")


def format_count(count: int, noun: str, plural: str = "") -> str:
    """Return `1 user` or `1,234 users`; `plural` only where it takes more than an `s`."""
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"


def mask_url(url: str) -> str:
    """Return a URL without user name and password, and with the values of unknown query parameters masked."""
    return _PARAMETER.sub(_mask_parameter, _USER_INFO.sub("//", url))


def mask_urls(text: str) -> str:
    """Do the same for every URL, or path of one, in a text."""
    return _PARAMETER_IN_TEXT.sub(_mask_parameter, _USER_INFO.sub("//", text))


def _mask_parameter(parameter: re.Match[str]) -> str:
    if parameter["name"].lower() in _API_PARAMETERS:
        return parameter[0]
    return f"{parameter['start']}{parameter['name']}={_MASK}" if parameter["value"] else f"{parameter['start']}{_MASK}"
