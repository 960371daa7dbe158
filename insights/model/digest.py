"""Digests of content, recorded when it is written and compared when it is checked."""

from collections.abc import Iterable
from hashlib import sha256

NULL_LENGTH = b"\xff\xff\xff\xff"


def digest_bytes(content: bytes) -> int:
    """The first 64 bits of the SHA-256 of `content`, as a signed integer."""
    return int.from_bytes(sha256(content).digest()[:8], "big", signed=True)


def digest_cells(cells: Iterable[bytes | None]) -> int:
    """The digest of values, each preceded by its length in four bytes (-1 for null)."""
    return digest_bytes(
        b"".join(NULL_LENGTH if cell is None else len(cell).to_bytes(4, "big") + cell for cell in cells)
    )
