"""What a setting may be: the types that settings share, and how an invalid value is put into words."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, get_args

from pydantic import AfterValidator, AnyHttpUrl, BeforeValidator, Field, Json, SecretStr
from pydantic.fields import FieldInfo
from pydantic_settings import NoDecode

from insights.text import mask_url


@dataclass(frozen=True)
class Allowed:
    """The allowed values in words that follow "set it to"."""

    words: str


def _unset_if_blank(value: object) -> object:
    return None if isinstance(value, str) and not value.strip() else value


def _require_text(value: object) -> object:
    if isinstance(value, str) and not value.strip():
        raise ValueError("blank")
    return value


def _strip(value: object) -> object:
    return value.strip() if isinstance(value, str) else value


def _fold_case(fold: Callable[[str], str]) -> BeforeValidator:
    """Beyond ASCII, other letters would become those of a code: U+0131 is an I in upper case."""

    def fold_ascii(value: object) -> object:
        text = _strip(value)
        return fold(text) if isinstance(text, str) and text.isascii() else text

    return BeforeValidator(fold_ascii)


def parse_headers(text: str) -> dict[str, str]:
    """Return HTTP headers by name.

    Raises:
        ValueError: a line that is not blank is not `Name: value`, in ASCII.
    """
    matches = [_HEADER.fullmatch(line.strip()) for line in text.splitlines() if line.strip()]
    if not all(matches):
        raise ValueError("not a header")
    return {match[1]: match[2] for match in matches if match}


def _check_headers(headers: SecretStr) -> SecretStr:
    parse_headers(headers.get_secret_value())
    return headers


UNSET_IF_BLANK = BeforeValidator(_unset_if_blank)
LOWER, UPPER = _fold_case(str.lower), _fold_case(str.upper)

_HOST = r"(\[[0-9A-Fa-f:.]+\]|[^\s,:\[\]]+)"
_HEADER = re.compile(r"([A-Za-z0-9!#$%&'*+.^_`|~-]+):[ \t]*([\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?)")
_PORT = r"(:([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]))"

OptionalPath = Annotated[Path | None, UNSET_IF_BLANK]
OptionalText = Annotated[str | None, UNSET_IF_BLANK]
Port = Annotated[int, Field(ge=1, le=65_535)]
ListenPort = Annotated[int, Field(ge=0, le=65_535)]
"""0 is any free port."""
UnprivilegedPort = Annotated[int, Field(ge=1024, le=65_535)]
Text = Annotated[str, BeforeValidator(_strip), Field(min_length=1), Allowed("a value that is not blank")]
Word = Annotated[str, BeforeValidator(_strip), Field(pattern=r"^\S+$"), Allowed("a value without spaces")]
Hosts = Annotated[
    str, Field(pattern=r"^\s*[^\s,]+(\s*,\s*[^\s,]+)*\s*$"), Allowed("a host, or several separated by commas")
]
Servers = Annotated[
    str,
    Field(pattern=rf"^\s*{_HOST}{_PORT}?(\s*,\s*{_HOST}{_PORT}?)*\s*$"),
    Allowed("`host:port`, or several separated by commas"),
]
Topic = Annotated[
    str,
    Field(pattern=r"^[A-Za-z0-9._-]{1,249}$"),
    Allowed("a topic's name: up to 249 letters of ASCII, digits, dots, dashes and underscores"),
]
Keyspace = Annotated[
    str,
    Field(pattern=r"^[A-Za-z][A-Za-z0-9_]{0,47}$"),
    Allowed("a keyspace's name: a letter, then up to 47 letters, digits and underscores"),
]
CqlMap = Annotated[str, Field(pattern=r"^\s*\{.+\}\s*$"), Allowed("a map in CQL, such as {'class': 'SimpleStrategy'}")]
Memory = Annotated[
    str,
    Field(pattern=r"^\s*([1-9][0-9]{0,2}[gG]|(47[2-9]|4[89][0-9]|[5-9][0-9][0-9]|[1-9][0-9]{3,5})[mM])\s*$"),
    Allowed("a size of at least 472m, the least that Spark accepts, such as 768m or 2g"),
]
HeaderName = Annotated[str, Field(pattern=r"^[A-Za-z0-9!#$%&'*+.^_`|~-]+$"), Allowed("the name of an HTTP header")]
Headers = Annotated[SecretStr, AfterValidator(_check_headers), Allowed("headers: `Name: value` in ASCII, one a line")]
Nationalities = Annotated[
    str,
    Field(pattern=r"^\s*([A-Za-z]{2}(\s*,\s*[A-Za-z]{2})*)?\s*$"),
    Allowed("codes of two letters, separated by commas"),
]
FieldNames = Annotated[
    str, Field(pattern=r"^\s*([A-Za-z]+(\s*,\s*[A-Za-z]+)*)?\s*$"), Allowed("names of fields, separated by commas")
]
Folder = Annotated[Path, BeforeValidator(_require_text), Allowed("a folder")]
Roles = Annotated[Json[dict[str, str]], NoDecode, Allowed("a JSON object of roles by user")]
HttpUrl = Annotated[str, Field(pattern=r"^(https?://[^\s/]\S*)?$"), Allowed("a URL that begins with http or https")]


def describe_value(field: FieldInfo, value: object) -> str:
    """An invalid value in a message, without what may be secret in it."""
    if field.annotation is SecretStr:
        return "invalid"
    if not isinstance(value, str) or not set("?@") & set(value):
        return repr(value)
    # Whatever stands before an @ may be a login, even where the rest is not a URL.
    return repr(mask_url(value).rpartition("@")[2])


def explain_remedy(field: FieldInfo) -> str:
    """What to set a field to whose value is invalid."""
    words = next((item.words for item in field.metadata if isinstance(item, Allowed)), "")
    choices = get_args(field.annotation)
    if words:
        remedy = words
    elif field.annotation is AnyHttpUrl:
        remedy = "a URL that begins with http or https"
    elif field.annotation is bool:
        remedy = "true or false"
    elif field.annotation in (int, float):
        remedy = _describe_range(field)
    elif choices and all(isinstance(choice, str) for choice in choices):
        remedy = "one of " + ", ".join(choice for choice in choices if choice)
    else:
        remedy = "a valid value"
    return f"set it to {remedy}" + ("" if field.default is None or field.is_required() else _describe_default(field))


def _describe_range(field: FieldInfo) -> str:
    limits: dict[str, Any] = {
        name: getattr(item, name) for item in field.metadata for name in ("ge", "gt", "le") if hasattr(item, name)
    }
    kind = "whole number" if field.annotation is int else "number"
    start = f"from {limits['ge']:,}" if "ge" in limits else f"above {limits['gt']:,}"
    return f"a {kind} {start} to {limits['le']:,}"


def _describe_default(field: FieldInfo) -> str:
    if isinstance(field.default, SecretStr):
        return ""
    return f", or unset it for {field.default}" if str(field.default) else ", or unset it"
