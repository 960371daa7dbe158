"""Unpack the records of a response: verify its envelope and remove credentials before anything is stored."""

import json
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, NoReturn
from uuid import uuid4

from insights.model.canonical_json import encode_canonical, parse_canonical
from insights.model.codes import normalise_uuid, upper_ascii
from insights.model.countries import load_countries
from insights.model.credentials import CREDENTIAL_FIELDS, is_national_id, is_secret, mask_text, may_hold_secret
from insights.model.quarantine import RejectedRecord
from insights.model.raw_json import RepeatedKeys, has_repeated_keys, make_object
from insights.model.reasons import MAX_DEPTH, Rule
from insights.model.redaction import redact
from insights.source.errors import FetchFailure, SourceError
from insights.source.rows import split_page

_MAX_KEPT_BYTES = 1024 * 1024
"""A rejected record that is larger leaves only its size and digest."""
_EXACT_DIGITS = 18
_REPEATED_KEY = RepeatedKeys([("repeated", None)] * 2)
"""Stands for a removed value that repeats a key, so that the stream rejects the record."""
_ENCODE = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


@dataclass(frozen=True, slots=True)
class PageRequest:
    """The requested page, against which the response is verified."""

    seed: str
    page: int
    results: int
    nationalities: frozenset[str] = frozenset()
    gender: str = ""


@dataclass(frozen=True, slots=True)
class UnpackedPage:
    """`records` are compact JSON without credentials. `rejected` are the rows that are not records."""

    records: list[bytes]
    rejected: list[RejectedRecord]
    api_version: str


class _RecordError(Exception):
    """A row is not a record, for a reason that the other rows do not share."""


def unpack_page(body: bytes, request: PageRequest) -> UnpackedPage:
    """Return the rows of the page, of which a bad one is rejected without the others, and the version of the API.

    Numbers keep their text and strings their characters. A lone surrogate remains an escape, and a repeated key remains
    repeated. A UUID gets its canonical spelling.

    Raises:
        SourceError: the response is not the whole page that was requested.
    """
    document, encode = _read_page(body)
    rows, version = _extract_rows(document, request)
    return UnpackedPage(
        [encode(row) for row in rows if isinstance(row, dict)],
        [row for row in rows if isinstance(row, RejectedRecord)],
        version,
    )


def _read_page(body: bytes) -> tuple[Any, Callable[[Any], bytes]]:
    """Parse and cleanse a page. Returns it and the encoder of its rows."""
    with suppress(ValueError, _RecordError):
        return _clean_rows(parse_canonical(body), _clean_canonical), encode_canonical
    notation = _Notation()
    try:
        return _clean_rows(notation.parse(body), _clean), notation.encode
    except (ValueError, RecursionError, _RecordError) as error:
        return _read_row_by_row(body, notation, error), notation.encode


class _Notation:
    """Parses and encodes JSON. Numbers whose text could change are strings that start with a mark in between."""

    def __init__(self) -> None:
        self._mark = uuid4().hex
        self._marked = re.compile(f'"{self._mark}([^"]*)"')

    def parse(self, body: bytes) -> Any:
        """Raises ValueError or RecursionError."""
        return json.loads(
            body.decode(),
            parse_float=self._mark_number,
            parse_int=self._parse_integer,
            parse_constant=_reject_constant,
            object_pairs_hook=make_object,
        )

    def encode(self, value: Any) -> bytes:
        text = _ENCODE(value)
        if self._mark in text:
            text = self._marked.sub(r"\1", text)
        return text.encode("utf-8", "backslashreplace")

    def _mark_number(self, text: str) -> str:
        return f"{self._mark}{text}"

    def _parse_integer(self, text: str) -> int | str:
        return int(text) if len(text) <= _EXACT_DIGITS and text != "-0" else self._mark_number(text)


def _reject_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is not a JSON number")


def _clean_rows(document: Any, clean: Callable[[Any], Any]) -> Any:
    if isinstance(document, dict) and isinstance(document.get("results"), list):
        document["results"] = [clean(row) for row in document["results"]]
    return document


def _read_row_by_row(body: bytes, notation: _Notation, error: Exception) -> Any:
    """Parse each row on its own, because `error` prevents reading them together."""
    page = split_page(body)
    if page is None:
        raise _make_page_error(body, error)
    try:
        document = notation.parse(page.envelope)
    except (ValueError, RecursionError) as cause:
        raise _make_page_error(body, cause) from None
    if isinstance(document, RepeatedKeys):
        return document
    return document | {"results": [_read_row(text, notation) for text in page.rows]}


def _make_page_error(body: bytes, error: Exception) -> SourceError:
    if isinstance(error, RecursionError):
        return SourceError(FetchFailure.TOO_DEEP, "the response is nested too deeply to be parsed")
    if isinstance(error, UnicodeDecodeError):
        return SourceError(FetchFailure.NOT_JSON, "the response is not UTF-8")
    kind = "HTML" if body.lstrip()[:1] == b"<" else _describe(error)
    return SourceError(FetchFailure.NOT_JSON, f"the response is not JSON ({kind})")


def _describe(error: Exception) -> str:
    """Return what the error says, without the text that it quotes."""
    return f"{error.msg} at character {error.pos}" if isinstance(error, json.JSONDecodeError) else str(error)


def _read_row(text: bytes, notation: _Notation) -> Any:
    if b"\0" in text:
        return _reject(text, Rule.NUL_CHARACTER)
    try:
        return _clean(notation.parse(text))
    except UnicodeDecodeError:
        return _reject(text, Rule.NOT_UTF8)
    except RecursionError:
        return _reject(text, Rule.NOT_A_RECORD, _TOO_DEEP)
    except (ValueError, _RecordError) as error:
        return _reject(text, Rule.NOT_A_RECORD, _describe(error))


def _reject(text: bytes, rule: Rule, cause: str = "") -> RejectedRecord:
    return RejectedRecord(
        reason=rule.reason,
        field=rule.fields[0],
        detail=f"{rule.detail.removesuffix('.')}: {cause}." if cause else rule.detail,
        size=len(text),
        sha256=sha256(text).hexdigest(),
        payload=redact(text) if len(text) <= _MAX_KEPT_BYTES else None,
    )


_TOO_DEEP = f"it has more than {MAX_DEPTH} levels of nesting"


def _clean_canonical(row: Any) -> Any:
    """Cleanse a row of a page in the canonical spelling as `_clean` does.

    Where the credentials are in their usual places, it is not searched for others value by value.
    """
    if not isinstance(row, dict):
        return _clean(row)
    login, national_id = row.get("login"), row.get("id")
    if isinstance(login, dict):
        for name in CREDENTIAL_FIELDS:
            login.pop(name, None)
    if isinstance(national_id, dict):
        row["id"] = _reduce_national_id(national_id)
    text = encode_canonical(row)
    if isinstance(national_id, dict):
        text = text.replace(b'"id":', b'"":', 1)
    if text.count(b"{") + text.count(b"[") > MAX_DEPTH or may_hold_secret(text):
        return _clean(row)
    return _normalise_id(row)


def _clean(row: Any) -> Any:
    if not isinstance(row, dict):
        raise _RecordError(f"it is of the type {type(row).__name__}")
    return _normalise_id(_remove_credentials(row, 1))


def _extract_rows(document: Any, request: PageRequest) -> tuple[list[Any], str]:
    if not isinstance(document, dict):
        raise SourceError(FetchFailure.ENVELOPE, f"the response is a {type(document).__name__}, not an object")
    if "error" in document:
        raise SourceError(FetchFailure.API_ERROR, f"the API reports {mask_text(str(document['error']))[:200]!r}")
    if isinstance(document, RepeatedKeys):
        raise SourceError(FetchFailure.ENVELOPE, "the response repeats a key")
    rows = document.get("results")
    if not isinstance(rows, list):
        raise SourceError(FetchFailure.ENVELOPE, "`results` is not a list")
    version = _check_info(document.get("info"), request)
    if len(rows) > request.results:
        raise SourceError(FetchFailure.MISMATCH, f"requested {request.results} rows and received {len(rows)}")
    if len(rows) < request.results:
        reason = FetchFailure.SHORT if rows else FetchFailure.EMPTY
        raise SourceError(reason, f"requested {request.results} rows and received {len(rows)}")
    return _filter_rows(rows, request), version


def _check_info(info: Any, request: PageRequest) -> str:
    if not isinstance(info, dict) or not isinstance(info.get("version"), str):
        raise SourceError(FetchFailure.ENVELOPE, "`info` does not contain the version of the API")
    for name, wanted in (("seed", request.seed), ("page", request.page)):
        if info.get(name) != wanted:
            raise SourceError(
                FetchFailure.MISMATCH,
                f"requested {name} {wanted!r} and received {mask_text(str(info.get(name)))[:80]!r}",
            )
    return str(info["version"])


def _filter_rows(rows: list[Any], request: PageRequest) -> list[Any]:
    """Verify the nationalities and drop rows of the other gender.

    The API ignores `gender` if there is a seed, and all of `nat` if one of the codes is unknown. A row with something
    else than a nationality is a bad record of a good page.
    """
    if request.nationalities:
        codes = {_read_code(row, "nat") for row in rows if isinstance(row, dict)}
        unexpected = (load_countries().keys() & codes) - request.nationalities
        if unexpected:
            wanted, received = ", ".join(sorted(request.nationalities)), ", ".join(sorted(unexpected))
            raise SourceError(FetchFailure.MISMATCH, f"requested nationalities {wanted} and received {received}")
    if request.gender:
        other = {"male": "FEMALE", "female": "MALE"}[request.gender]
        return [row for row in rows if _read_code(row, "gender") != other]
    return rows


def _read_code(row: Any, name: str) -> str | None:
    """Return the code in upper case, None if the row has none; that of a bad record does not count."""
    code = row.get(name) if isinstance(row, dict) and not isinstance(row, RepeatedKeys) else None
    return upper_ascii(code.strip()) if isinstance(code, str) else None


def _remove_credentials(value: Any, depth: int) -> Any:
    """Remove every credential, and of the national id everything but its name."""
    if isinstance(value, str):
        return mask_text(value)
    if not isinstance(value, dict | list):
        return value
    if depth > MAX_DEPTH:
        raise _RecordError(_TOO_DEEP)
    if isinstance(value, list):
        return [_remove_credentials(item, depth + 1) for item in value]
    repeats = isinstance(value, RepeatedKeys)
    members = []
    for name, item in value.items():
        if not is_secret(name):
            members.append((name, _remove_credentials(item, depth + 1)))
        elif has_repeated_keys(item):
            members.append((name, _REPEATED_KEY))
        elif is_national_id(name) and (item is None or isinstance(item, dict | list)):
            members.append((name, _reduce_national_id(item)))
        elif repeats:
            members.append((name, None))
    return make_object(members)


def _reduce_national_id(value: Any) -> Any:
    if isinstance(value, list):
        return [_reduce_national_id(item) for item in value if isinstance(item, dict | list)]
    if isinstance(value, dict):
        return {"name": mask_text(value["name"])} if isinstance(value.get("name"), str) else {}
    return None


def _normalise_id(record: dict[str, Any]) -> dict[str, Any]:
    login = record.get("login")
    if isinstance(login, dict) and isinstance(text := login.get("uuid"), str):
        login["uuid"] = normalise_uuid(text) or text
    return record
