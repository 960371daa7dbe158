"""Errors whose text is shown to the user unchanged."""

import sys


class UserError(Exception):
    """An error that the user can fix: the text names the problem, the offending value and the remedy."""


class NotReadyError(UserError):
    """A server does not answer yet, or lacks something that may still be created: a retry may succeed."""


class RefusedError(UserError):
    """A server answers but refuses the login."""


def print_error(error: UserError) -> None:
    """Print `error: <text>` to standard error, as every command and process does before it exits."""
    print(f"error: {error}", file=sys.stderr)
