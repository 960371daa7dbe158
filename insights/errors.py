"""The one error that is shown to people as it is."""


class UserError(Exception):
    """A mistake or a missing thing that a person can mend: the text names it, its value and the remedy."""
