"""The one error that is shown to people as it is."""


class UserError(Exception):
    """A mistake or a missing thing that a person can mend: the text names it, its value and the remedy."""


class NotReadyError(UserError):
    """A server does not answer, or lacks what is perhaps still being made: a moment later it may be there."""


class RefusedError(UserError):
    """A server answers and does not let us in."""
