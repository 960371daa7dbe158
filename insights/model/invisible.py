"""Characters that show nothing: which of them texts keep, and which count as a space or are removed.

The lists are ranges of code points (first and last, inclusive), written out because the regular expressions of Java
and Python know different versions of Unicode. A character that Unicode has not assigned yet is kept.
"""

from collections.abc import Iterable

Ranges = tuple[tuple[int, int], ...]

BLANKS: Ranges = ((0x2800, 0x2800), (0x3164, 0x3164), (0xFFA0, 0xFFA0))
"""Characters that look like a space without being White_Space: the blank Braille pattern and the Hangul fillers."""

REMOVED: Ranges = (
    (0x00AD, 0x00AD),
    (0x034F, 0x034F),
    (0x061C, 0x061C),
    (0x115F, 0x1160),
    (0x17B4, 0x17B5),
    (0x180E, 0x180E),
    (0x200B, 0x200B),
    (0x200E, 0x200F),
    (0x202A, 0x202E),
    (0x2060, 0x206F),
    (0xFDD0, 0xFDEF),
    (0xFEFF, 0xFEFF),
    (0xFFF0, 0xFFFB),
    (0xFFFE, 0xFFFF),
    (0x1BCA0, 0x1BCA3),
    (0x1D173, 0x1D17A),
    *((plane + 0xFFFE, plane + 0xFFFF) for plane in range(0x10000, 0xE0000, 0x10000)),
    (0xE0000, 0xE00FF),
    (0xE01F0, 0xE0FFF),
    (0xEFFFE, 0xEFFFF),
    (0xFFFFE, 0xFFFFF),
    (0x10FFFE, 0x10FFFF),
)
"""The rest of Default_Ignorable_Code_Point (soft hyphen, zero-width space, directional controls, byte order mark, tag
characters and so on), interlinear annotations, and noncharacters."""

JOINERS: Ranges = ((0x200C, 0x200D),)
"""ZWNJ and ZWJ."""

JOINING: Ranges = (
    (0x0620, 0x0DFF),
    (0x1000, 0x109F),
    (0x1780, 0x17B3),
    (0x17B6, 0x17FF),
    (0x1820, 0x18AF),
    (0xA840, 0xA8FF),
    (0xA980, 0xA9FF),
    (0xAA60, 0xAA7F),
    (0xFB50, 0xFDCF),
    (0xFDF0, 0xFDFF),
    (0xFE70, 0xFEFC),
    (0x10A00, 0x10AFF),
    (0x10D00, 0x10D3F),
    (0x11000, 0x11FFF),
    (0x1E900, 0x1E95F),
)
"""Scripts whose letters join or form ligatures, from Arabic and the Indic scripts to Adlam. A single joiner between two
of these characters changes what is shown (Persian, Hindi)."""

PICTOGRAPHS: Ranges = ((0x2190, 0x2BFF), (0x1F000, 0x1FBFF))
"""Symbols and emoji. ZWJ between two of them, or after a variation selector, makes one emoji of both."""

SELECTORS: Ranges = ((0x180B, 0x180D), (0x180F, 0x180F), (0xFE00, 0xFE0F), (0xE0100, 0xE01EF))
"""Variation selectors."""

VARIED: Ranges = (
    (0x1000, 0x109F),
    (0x1820, 0x18AA),
    *PICTOGRAPHS,
    (0x2E80, 0x9FFF),
    (0xA840, 0xA87F),
    (0xF900, 0xFAFF),
    (0x20000, 0x3FFFD),
)
"""Characters with variants, such as ideographs and emoji. A single variation selector after one of them is kept."""


def build_character_class(*ranges: Ranges) -> str:
    r"""Return the inside of a character class of Java's regular expressions, such as `\x{AD}-\x{AD}`."""
    return "".join(rf"\x{{{first:X}}}-\x{{{last:X}}}" for first, last in _flatten(ranges))


def _flatten(ranges: Iterable[Ranges]) -> Iterable[tuple[int, int]]:
    return (pair for part in ranges for pair in part)
