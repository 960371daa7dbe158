"""What the comparison of a range yields: what it compared, or that something in it is wrong."""

from dataclasses import dataclass


class SuspicionError(Exception):
    """A range does not hold. The incremental check then gives way to the full one, which names the records."""


@dataclass(slots=True)
class Compared:
    """The number of rows that were compared, and of those among them that differ because they are in flight."""

    rows: int = 0
    pending: int = 0

    def add(self, rows: int, pending: int = 0) -> None:
        """Count more of them."""
        self.rows += rows
        self.pending += pending


def require(holds: object, what: str) -> None:
    """Raise a `SuspicionError` unless something holds; `what` is a clause about it."""
    if not holds:
        raise SuspicionError(what)
