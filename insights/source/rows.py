"""Split a page into the texts of its records, so that one bad record does not fail the others."""

import re
from dataclasses import dataclass, field

_TOKEN = re.compile(rb'"(?:[^"\\]++|\\.)*+(?:"|\Z)|[\[\]{},:]', re.DOTALL)
_RESULTS = b'"results"'


@dataclass(slots=True)
class SplitPage:
    """The texts of the records, and `envelope`: the body with an empty list of results."""

    envelope: bytes
    rows: list[bytes]


@dataclass(slots=True)
class _Scanner:
    """Follows the brackets of a JSON text. Needs no recursion, so that no depth of nesting is too much."""

    body: bytes
    depth: int = 0
    name: bytes = b""
    last_string: bytes = b""
    row_start: int | None = None
    span: tuple[int, int] | None = None
    rows: list[bytes] = field(default_factory=list)

    def scan(self) -> bool:
        """Return whether every bracket and string is closed."""
        for token in _TOKEN.finditer(self.body):
            kind = token[0][:1]
            if kind == b'"':
                if len(token[0]) == 1 or not token[0].endswith(b'"'):
                    return False
                self.last_string = token[0]
            elif kind in b"[{":
                self._open(kind, token.end())
            elif kind in b"]}":
                if self.depth == 0:
                    return False
                self._close(token.start())
            elif self.depth == 1:
                self.name = self.last_string if kind == b":" else b""
            elif kind == b"," and self.depth == 2 and self.row_start is not None:
                self._end_row(token.start())
                self.row_start = token.end()
        return self.depth == 0

    def _open(self, kind: bytes, position: int) -> None:
        if kind == b"[" and self.depth == 1 and self.name == _RESULTS:
            self.rows, self.row_start, self.span = [], position, (position, position)
        self.depth += 1

    def _close(self, position: int) -> None:
        self.depth -= 1
        if self.depth == 1 and self.row_start is not None and self.span is not None:
            if self.rows or self.body[self.row_start : position].strip():
                self._end_row(position)
            self.span, self.row_start = (self.span[0], position), None

    def _end_row(self, end: int) -> None:
        self.rows.append(self.body[self.row_start : end].strip(b" \t\r\n"))


def split_page(body: bytes) -> SplitPage | None:
    """Return the parts of a page; None if it has no list of results, or if brackets or strings are not closed."""
    scanner = _Scanner(body)
    if not scanner.scan() or scanner.span is None:
        return None
    start, end = scanner.span
    return SplitPage(body[:start] + body[end:], scanner.rows)
