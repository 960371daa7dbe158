"""Errors whose text is shown to people as it is."""

import sys


class UserError(Exception):
    """An error that a person can fix: the text names what is wrong, its value and the remedy."""


class NotReadyError(UserError):
    """A server does not answer, or lacks something that may still be on its way: a retry may succeed."""


class RefusedError(UserError):
    """A server answers and refuses the login."""


def print_error(error: UserError) -> None:
    """Print `error: <text>` to standard error, as every command and process does before it exits."""
    print(f"error: {error}", file=sys.stderr)
