"""Errors whose text is shown to people as it is."""


class UserError(Exception):
    """An error that a person can fix: the text names what is wrong, its value and the remedy."""


class NotReadyError(UserError):
    """A server does not answer, or lacks something that may still be on its way: a retry may succeed."""


class RefusedError(UserError):
    """A server answers and refuses the login."""
