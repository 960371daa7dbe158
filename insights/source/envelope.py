"""An answer's bytes to records: the envelope is checked, and credentials leave here, before anything is stored."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn
from uuid import uuid4

from insights.model.credentials import CREDENTIAL_FIELDS
from insights.source.errors import FetchFailure, SourceError

MAX_DEPTH = 32
"""Levels of nesting in a record; the API's own have 3. Parsers further on recurse too."""
_EXACT_DIGITS = 18
_CREDENTIALS = frozenset(CREDENTIAL_FIELDS)
_ENCODE = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


@dataclass(frozen=True, slots=True)
class PageRequest:
    """What the request asked for, to hold the answer against."""

    seed: str
    page: int
    results: int
    nationalities: frozenset[str] = frozenset()
    gender: str = ""


def unpack_page(body: bytes, asked: PageRequest) -> tuple[list[bytes], str]:
    """The page's records as compact JSON without credentials, and the API version that answered.

    Numbers keep their text and strings their characters; a lone surrogate stays the escape that it was.

    Raises:
        SourceError: the answer is not the whole page that was asked for.
    """
    mark = uuid4().hex
    try:
        document = _parse(body, mark)
        results, version = _rows(document, asked)
        restore = _restorer(mark)
        return [restore(_ENCODE(_clean_record(row))) for row in results], version
    except RecursionError:
        raise SourceError(FetchFailure.TOO_DEEP, "the answer nests too deeply to be read") from None


def _parse(body: bytes, mark: str) -> Any:
    def keep(text: str) -> str:
        return f"{mark}{text}"

    def integer(text: str) -> int | str:
        return int(text) if len(text) <= _EXACT_DIGITS and text != "-0" else keep(text)

    try:
        return json.loads(body.decode(), parse_float=keep, parse_int=integer, parse_constant=_refuse_constant)
    except UnicodeDecodeError:
        raise SourceError(FetchFailure.NOT_JSON, "the answer is not UTF-8") from None
    except json.JSONDecodeError as error:
        kind = "HTML" if body.lstrip()[:1] == b"<" else f"{error.msg} at character {error.pos}"
        raise SourceError(FetchFailure.NOT_JSON, f"the answer is not JSON ({kind})") from None


def _refuse_constant(text: str) -> NoReturn:
    raise SourceError(FetchFailure.NOT_JSON, f"the answer is not JSON ({text} is no number there)")


def _restorer(mark: str) -> Callable[[str], bytes]:
    marked = re.compile(f'"{mark}([^"]*)"')

    def restore(text: str) -> bytes:
        if mark in text:
            text = marked.sub(r"\1", text)
        return text.encode("utf-8", "backslashreplace")

    return restore


def _rows(document: Any, asked: PageRequest) -> tuple[list[dict[str, Any]], str]:
    if not isinstance(document, dict):
        raise SourceError(FetchFailure.ENVELOPE, f"the answer is a {type(document).__name__}, not an object")
    if "error" in document:
        raise SourceError(FetchFailure.API_ERROR, f"the API says {str(document['error'])[:200]!r}")
    rows = document.get("results")
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise SourceError(FetchFailure.ENVELOPE, "`results` is not a list of objects")
    version = _check_info(document.get("info"), asked)
    if len(rows) > asked.results:
        raise SourceError(FetchFailure.MISMATCH, f"asked for {asked.results} rows and got {len(rows)}")
    if len(rows) < asked.results:
        reason = FetchFailure.SHORT if rows else FetchFailure.EMPTY
        raise SourceError(reason, f"asked for {asked.results} rows and got {len(rows)}")
    return _selected(rows, asked), version


def _check_info(info: Any, asked: PageRequest) -> str:
    if not isinstance(info, dict) or not isinstance(info.get("version"), str):
        raise SourceError(FetchFailure.ENVELOPE, "`info` does not name the API's version")
    for name, wanted in (("seed", asked.seed), ("page", asked.page)):
        if info.get(name) != wanted:
            raise SourceError(
                FetchFailure.MISMATCH, f"asked for {name} {wanted!r} and got {str(info.get(name))[:80]!r}"
            )
    return str(info["version"])


def _selected(rows: list[dict[str, Any]], asked: PageRequest) -> list[dict[str, Any]]:
    """The API ignores `gender` beside a seed, and the whole of `nat` when it does not know one code of it."""
    if asked.nationalities:
        strange = {str(row["nat"])[:20] for row in rows if "nat" in row} - asked.nationalities
        if strange:
            wanted, got = ", ".join(sorted(asked.nationalities)), ", ".join(sorted(strange))
            raise SourceError(FetchFailure.MISMATCH, f"asked for nationalities {wanted} and got {got}")
    if asked.gender:
        other = {"male": "female", "female": "male"}[asked.gender]
        return [row for row in rows if row.get("gender") != other]
    return rows


def _clean_record(record: dict[str, Any]) -> Any:
    identity = record.get("id")
    if identity is not None and not isinstance(identity, dict | list):
        record = {name: value for name, value in record.items() if name != "id"}
    return _clean(record, 1, within_id=False)


def _clean(value: Any, depth: int, within_id: bool) -> Any:
    if depth > MAX_DEPTH:
        raise SourceError(FetchFailure.TOO_DEEP, f"a record nests more than {MAX_DEPTH} levels")
    if isinstance(value, dict):
        return {
            name: _clean(item, depth + 1, within_id or name == "id") if isinstance(item, dict | list) else item
            for name, item in value.items()
            if (folded := name.casefold()) not in _CREDENTIALS and not (within_id and folded == "value")
        }
    return [_clean(item, depth + 1, within_id) if isinstance(item, dict | list) else item for item in value]
