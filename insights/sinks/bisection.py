"""Find the rows that a store refuses among rows that it does not take together. No driver is imported here."""

from collections.abc import Callable


def find_refused(rows: range, attempt: Callable[[range], str | None]) -> dict[int, str]:
    """Deliver the rows in ever smaller parts. Returns the rows that the store refuses even alone, with its words.

    `attempt` delivers a part, in whole or not at all, and returns None, or the words with which the store refuses the
    part. Parts are tried in the order of the rows, so that each is tried on top of all that were taken before. Where k
    of n rows are refused, there are at most 2 k log2(n) + 1 attempts.

    Raises:
        Exception: what `attempt` raises, as it does for an error that is not about the rows.
    """
    refused: dict[int, str] = {}
    waiting = [rows]
    while waiting:
        part = waiting.pop()
        words = attempt(part)
        if words is None:
            continue
        if len(part) <= 1:
            refused |= dict.fromkeys(part, words)
        else:
            middle = len(part) // 2
            waiting += [part[middle:], part[:middle]]
    return refused
