"""Load rows into scratch tables of the check's session, so that the server compares them and not this process."""

from collections.abc import Iterable

from psycopg2.extensions import cursor as PgCursor

_CHUNK_BYTES = 1 << 16


def copy_lines(cursor: PgCursor, table: str, lines: Iterable[str]) -> None:
    """Append lines in COPY's text format to a table; memory holds a few of them at a time."""
    cursor.copy_expert(f"COPY {table} FROM STDIN", _LineFile(lines), _CHUNK_BYTES)


class _LineFile:
    """Text lines as a file for COPY."""

    def __init__(self, lines: Iterable[str]) -> None:
        self._lines = iter(lines)

    def read(self, size: int = -1, /) -> bytes:
        chunk: list[str] = []
        length = 0
        for line in self._lines:
            chunk.append(line)
            length += len(line)
            if 0 <= size <= length * 4:
                break
        return "".join(chunk).encode()

    def readline(self, _: int = -1, /) -> bytes:
        return next(self._lines, "").encode()
