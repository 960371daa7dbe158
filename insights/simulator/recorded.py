"""Serve responses recorded from the API: each for its own request, or all records as one sequence of pages."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from insights.errors import UserError

_RESULTS = re.compile(r'"results"\s*:\s*\[')
_SEPARATOR = re.compile(r"[\s,]*")

Request = tuple[str, str, int, int]
"""Version, seed, page and number of results."""


@dataclass(frozen=True, slots=True)
class Recording:
    """`answers` maps each request to the bytes of its file. `rows` has all records in the order of the file names."""

    answers: dict[Request, bytes]
    rows: list[bytes]

    def list_rows(self, number: int, size: int) -> Iterator[bytes]:
        """Yield the rows of one page, starting again after the last record.

        The API has no last page and a short page is a failed fetch, whereas a repeated record counts as a duplicate.
        """
        first = (number - 1) * size
        return (self.rows[position % len(self.rows)] for position in range(first, first + size))


def load_recording(folder: Path) -> Recording:
    """Load every `*.json` file in the folder.

    Raises:
        UserError: the folder has no recorded responses, or a file is not one.
    """
    paths = sorted(folder.glob("*.json"))
    if not paths:
        raise UserError(f"The folder {folder} has no *.json files: use one with recorded responses.")
    answers: dict[Request, bytes] = {}
    rows: list[bytes] = []
    for path in paths:
        try:
            text = path.read_text("utf-8")
            document = json.loads(text)
            info, count = document["info"], len(document["results"])
            answers[info["version"], info["seed"], info["page"], count] = text.encode()
            rows += islice(_split_records(text), count)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UserError(
                f"{path} is not a recorded response ({type(error).__name__}: {error}): it needs `results` and `info`."
            ) from None
    if not rows:
        raise UserError(f"The responses in {folder} have no records: use a folder with records.")
    return Recording(answers, rows)


def _split_records(text: str) -> Iterator[bytes]:
    """Yield the original text of each record; encoding it again could change numbers and escapes."""
    start = _RESULTS.search(text)
    position = start.end() if start else len(text)
    decode: Any = json.JSONDecoder().raw_decode
    while text[(position := _SEPARATOR.match(text, position).end())] != "]":  # type: ignore[union-attr]
        begin = position
        _, position = decode(text, begin)
        yield text[begin:position].encode()
