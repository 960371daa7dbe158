"""Counts as sentences print them."""


def format_count(count: int, noun: str, plural: str = "") -> str:
    """Return `1 user` or `1,234 users`; `plural` only where it takes more than an `s`."""
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"
