"""Numbers written as masks: `#` a digit, `?` a capital letter, the rest as it stands."""

import re
from collections.abc import Callable
from string import ascii_uppercase

Draw = Callable[[], float]
Fill = Callable[[Draw], str]

_PART = re.compile(r"#+|\?")


def compile_mask(mask: str) -> Fill:
    """A function that fills the mask from draws in [0, 1); alternatives are separated by `|`."""
    fills = [_compile_one(alternative) for alternative in mask.split("|")]
    if len(fills) == 1:
        return fills[0]
    return lambda draw: fills[int(draw() * len(fills))](draw)


def _compile_one(mask: str) -> Fill:
    sizes = [0 if part == "?" else 10 ** len(part) for part in _PART.findall(mask)]
    template = _PART.sub(lambda found: "%s" if found[0] == "?" else f"%0{len(found[0])}d", mask.replace("%", "%%"))

    def fill(draw: Draw) -> str:
        return template % tuple([int(draw() * size) if size else ascii_uppercase[int(draw() * 26)] for size in sizes])

    return fill
