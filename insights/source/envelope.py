"""Unpack the records of a response: verify its envelope and remove credentials before anything is stored."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn
from uuid import uuid4

from insights.model.credentials import CREDENTIAL_FIELDS
from insights.source.errors import FetchFailure, SourceError

MAX_DEPTH = 32
"""Levels of nesting in a record. Records of the API have 3. Downstream parsers are recursive as well."""
_EXACT_DIGITS = 18
_CREDENTIALS = frozenset(CREDENTIAL_FIELDS)
_ENCODE = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


@dataclass(frozen=True, slots=True)
class PageRequest:
    """The requested page, against which the response is verified."""

    seed: str
    page: int
    results: int
    nationalities: frozenset[str] = frozenset()
    gender: str = ""


def unpack_page(body: bytes, request: PageRequest) -> tuple[list[bytes], str]:
    """Return the page's records as compact JSON without credentials, and the version of the API.

    Numbers keep their text and strings their characters. A lone surrogate remains an escape.

    Raises:
        SourceError: the response is not the whole page that was requested.
    """
    mark = uuid4().hex
    try:
        document = _parse(body, mark)
        results, version = _extract_rows(document, request)
        restore = _make_restorer(mark)
        return [restore(_ENCODE(_remove_credentials_from_record(row))) for row in results], version
    except RecursionError:
        raise SourceError(FetchFailure.TOO_DEEP, "the response is nested too deeply to be parsed") from None


def _parse(body: bytes, mark: str) -> Any:
    """Parse the body; numbers whose text could change become strings that start with the mark."""

    def mark_number(text: str) -> str:
        return f"{mark}{text}"

    def parse_integer(text: str) -> int | str:
        return int(text) if len(text) <= _EXACT_DIGITS and text != "-0" else mark_number(text)

    try:
        return json.loads(
            body.decode(), parse_float=mark_number, parse_int=parse_integer, parse_constant=_reject_constant
        )
    except UnicodeDecodeError:
        raise SourceError(FetchFailure.NOT_JSON, "the response is not UTF-8") from None
    except json.JSONDecodeError as error:
        kind = "HTML" if body.lstrip()[:1] == b"<" else f"{error.msg} at character {error.pos}"
        raise SourceError(FetchFailure.NOT_JSON, f"the response is not JSON ({kind})") from None


def _reject_constant(text: str) -> NoReturn:
    raise SourceError(FetchFailure.NOT_JSON, f"the response is not JSON ({text} is not a JSON number)")


def _make_restorer(mark: str) -> Callable[[str], bytes]:
    """Return a function that encodes JSON text and replaces marked strings with the original numbers."""
    marked = re.compile(f'"{mark}([^"]*)"')

    def restore(text: str) -> bytes:
        if mark in text:
            text = marked.sub(r"\1", text)
        return text.encode("utf-8", "backslashreplace")

    return restore


def _extract_rows(document: Any, request: PageRequest) -> tuple[list[dict[str, Any]], str]:
    if not isinstance(document, dict):
        raise SourceError(FetchFailure.ENVELOPE, f"the response is a {type(document).__name__}, not an object")
    if "error" in document:
        raise SourceError(FetchFailure.API_ERROR, f"the API reports {str(document['error'])[:200]!r}")
    rows = document.get("results")
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise SourceError(FetchFailure.ENVELOPE, "`results` is not a list of objects")
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
                FetchFailure.MISMATCH, f"requested {name} {wanted!r} and received {str(info.get(name))[:80]!r}"
            )
    return str(info["version"])


def _filter_rows(rows: list[dict[str, Any]], request: PageRequest) -> list[dict[str, Any]]:
    """Verify the nationalities and drop rows of the other gender.

    The API ignores `gender` if there is a seed, and all of `nat` if one of the codes is unknown.
    """
    if request.nationalities:
        unexpected = {str(row["nat"])[:20] for row in rows if "nat" in row} - request.nationalities
        if unexpected:
            wanted, received = ", ".join(sorted(request.nationalities)), ", ".join(sorted(unexpected))
            raise SourceError(FetchFailure.MISMATCH, f"requested nationalities {wanted} and received {received}")
    if request.gender:
        other = {"male": "female", "female": "male"}[request.gender]
        return [row for row in rows if row.get("gender") != other]
    return rows


def _remove_credentials_from_record(record: dict[str, Any]) -> Any:
    identity = record.get("id")
    if identity is not None and not isinstance(identity, dict | list):
        record = {name: value for name, value in record.items() if name != "id"}
    return _remove_credentials(record, 1, within_id=False)


def _remove_credentials(value: Any, depth: int, within_id: bool) -> Any:
    if depth > MAX_DEPTH:
        raise SourceError(FetchFailure.TOO_DEEP, f"a record has more than {MAX_DEPTH} levels of nesting")
    if isinstance(value, dict):
        return {
            name: _remove_credentials(item, depth + 1, within_id or name == "id")
            if isinstance(item, dict | list)
            else item
            for name, item in value.items()
            if (folded := name.casefold()) not in _CREDENTIALS and not (within_id and folded == "value")
        }
    return [
        _remove_credentials(item, depth + 1, within_id) if isinstance(item, dict | list) else item for item in value
    ]
