"""Answers that were recorded from the API, served again: one by one as they are, or page after page as one sequence."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from insights.errors import UserError

_RESULTS = re.compile(r'"results"\s*:\s*\[')
_BETWEEN = re.compile(r"[\s,]*")

Request = tuple[str, str, int, int]
"""Version, seed, page, results."""


@dataclass(frozen=True, slots=True)
class Recording:
    """`answers`: each file's bytes under the request it answered. `rows`: all their records, in order of file name."""

    answers: dict[Request, bytes]
    rows: list[bytes]

    def page(self, number: int, size: int) -> Iterator[bytes]:
        """Rows of one page; after the last record the first follows again.

        The API has no last page, and a short one is a failed fetch; a repeated record is a duplicate that is counted.
        """
        first = (number - 1) * size
        return (self.rows[position % len(self.rows)] for position in range(first, first + size))


def load(folder: Path) -> Recording:
    """Read every `*.json` of the folder.

    Raises:
        UserError: the folder has no answers, or a file is not one.
    """
    paths = sorted(folder.glob("*.json"))
    if not paths:
        raise UserError(f"The folder {folder} has no *.json files; name one with recorded answers.")
    answers: dict[Request, bytes] = {}
    rows: list[bytes] = []
    for path in paths:
        try:
            text = path.read_text("utf-8")
            document = json.loads(text)
            info, count = document["info"], len(document["results"])
            answers[info["version"], info["seed"], info["page"], count] = text.encode()
            rows += islice(_records(text), count)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UserError(
                f"{path} is not a recorded answer ({type(error).__name__}: {error}); it needs `results` and `info`."
            ) from None
    if not rows:
        raise UserError(f"The answers in {folder} have no records; name a folder that has some.")
    return Recording(answers, rows)


def _records(text: str) -> Iterator[bytes]:
    """The records' own text: written anew, a number or an escape could change."""
    start = _RESULTS.search(text)
    position = start.end() if start else len(text)
    decode: Any = json.JSONDecoder().raw_decode
    while text[(position := _BETWEEN.match(text, position).end())] != "]":  # type: ignore[union-attr]
        begin = position
        _, position = decode(text, begin)
        yield text[begin:position].encode()
