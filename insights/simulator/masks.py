"""Masks: `#` stands for a digit, `?` for an upper-case letter, and any other character for itself."""

import re
from collections.abc import Callable
from string import ascii_uppercase

Draw = Callable[[], float]
Fill = Callable[[Draw], str]

_PART = re.compile(r"#+|\?")


def compile_mask(mask: str) -> Fill:
    """Return a function that fills the mask from draws in [0, 1). Alternatives are separated by `|`."""
    fills = [_compile_alternative(alternative) for alternative in mask.split("|")]
    if len(fills) == 1:
        return fills[0]
    return lambda draw: fills[int(draw() * len(fills))](draw)


def _compile_alternative(mask: str) -> Fill:
    sizes = [0 if part == "?" else 10 ** len(part) for part in _PART.findall(mask)]
    template = _PART.sub(lambda part: "%s" if part[0] == "?" else f"%0{len(part[0])}d", mask.replace("%", "%%"))

    def fill(draw: Draw) -> str:
        return template % tuple([int(draw() * size) if size else ascii_uppercase[int(draw() * 26)] for size in sizes])

    return fill
