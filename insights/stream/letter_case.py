"""The letter case of names and places, as Spark columns.

Capitalisation is a few regular expressions on all of a record's texts in one, so that it is planned once. They mark
where words begin and where a particle stays lower case, in control characters, which no cleansed text has.
"""

import re
from collections.abc import Mapping

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from insights.model.letter_case import (
    CAPITALS,
    GENERIC_NOUNS,
    LANGUAGES,
    LEADING_PARTICLES,
    LOWERED_BY_LANGUAGE,
    PARTICLES,
    list_words,
)
from insights.stream.text_fields import read_texts, replace_texts

TITLED = ("name__title", "name__first", "name__last", "location__street", "location__city", "location__state")

_TEXT, _LAST_NAME = "\n", "\r"
"""What precedes each text, before a space. A particle may be the first word of a last name."""
_START, _KEPT, _CAPITAL = "\u0001", "\u0002", "\u0003"
"""Before a space, a word begins; for a space, the next word stays lower case; a word begins as in `CAPITALS`."""
_WORD_START = r"[-\u2010-\u2015/.(](?=\p{L})|(?<![\p{L}\p{M}'\u2019]{1,2})\p{L}['\u2019](?=\p{L}{2})"
_AFTER_WORD = rf"(?<=[\p{{L}}\p{{M}}.,)'\u2019]{{1,2}}|[\p{{L}}\p{{M}}]{{1,2}}-{_START})"
"""Two characters are looked at because a lookbehind of Java counts a character beyond U+FFFF as two."""


def capitalise_texts(frame: DataFrame) -> DataFrame:
    """Capitalise those of the texts `TITLED` that are all lower or all upper case, by the language of `nat`."""
    text = read_texts()
    needed = {name: _needs_capitals(text[name]) for name in TITLED}
    any_needed = F.coalesce(*(F.when(condition, True) for condition in needed.values()))
    joined = _join_texts(text)
    frame = frame.withColumn("words", F.when(any_needed, _begin_words(_lower(joined, text["nat"]))))
    frame = frame.withColumn("words", F.when(F.col("words").isNotNull(), _keep_particles(F.col("words"), text["nat"])))
    frame = frame.withColumn("words", F.when(F.col("words").isNotNull(), _split(F.col("words"), text["nat"])))
    capitalised = {
        name: F.when(needed[name], F.get("words", F.lit(position))).otherwise(text[name])
        for position, name in enumerate(TITLED, start=1)
    }
    return replace_texts(frame, F.col("words").isNotNull(), capitalised).drop("words")


def _needs_capitals(text: Column) -> Column:
    """Return whether a text is all lower or all upper case; most are found to be neither by their first two letters."""
    lower, upper = text == F.lower(text), text == F.upper(text)
    return ~text.rlike("[A-Z][a-z]") & ((lower & ~upper) | (upper & ~lower & (F.char_length(text) > 3)))


def _join_texts(text: Mapping[str, Column]) -> Column:
    marks = {"name__last": _LAST_NAME}
    parts = [
        part for name in TITLED for part in (F.lit(f"{marks.get(name, _TEXT)} "), F.coalesce(text[name], F.lit("")))
    ]
    return F.concat(*parts)


def _lower(text: Column, nationality: Column) -> Column:
    lower = F.lower(text)
    for code, languages in LANGUAGES.items():
        for language in LOWERED_BY_LANGUAGE.intersection(languages):
            by_language = F.collate(F.lower(F.collate(text, language)), "UTF8_BINARY")
            lower = F.when(nationality == code, by_language).otherwise(lower)
    return lower


def _begin_words(lower: Column) -> Column:
    return F.regexp_replace(lower, _WORD_START, f"$0{_START} ")


def _keep_particles(words: Column, nationality: Column) -> Column:
    """Mark the words that stay lower case, and those that begin with a capital of the language."""
    codes_by_languages: dict[tuple[str, ...], list[str]] = {}
    for code, languages in LANGUAGES.items():
        codes_by_languages.setdefault(languages, []).append(code)
    marked = words
    for languages, codes in codes_by_languages.items():
        kept = F.regexp_replace(words, _build_kept_pattern(languages), _KEPT)
        for small, _ in _find_capitals(languages):
            kept = F.replace(kept, F.lit(f" {small}"), F.lit(f" {_CAPITAL}"))
        marked = F.when(nationality.isin(codes), kept).otherwise(marked)
    return marked


def _split(words: Column, nationality: Column) -> Column:
    """Return an array of the texts, after an empty one, with their marks removed."""
    titled = F.regexp_replace(F.initcap(words), f"{_START}[ {_KEPT}]", "")
    capital = F.lit("")
    for code, languages in LANGUAGES.items():
        for _, great in _find_capitals(languages):
            capital = F.when(nationality == code, great).otherwise(capital)
    texts = F.replace(F.translate(titled, _KEPT, " "), F.lit(_CAPITAL), capital)
    return F.split(texts, f"[{_TEXT}{_LAST_NAME}] ")


def _find_capitals(languages: tuple[str, ...]) -> list[tuple[str, str]]:
    return [CAPITALS[language] for language in languages if language in CAPITALS]


def _build_kept_pattern(languages: tuple[str, ...]) -> str:
    """Return a pattern that matches the space before a word that stays lower case."""

    def alternatives(words: Mapping[str, str]) -> str:
        return "|".join(re.escape(word) for word in list_words(words, languages)) or "(?!)"

    return (
        f"{_AFTER_WORD} (?=(?:{alternatives(PARTICLES)})(?: |-{_START})|(?:{alternatives(GENERIC_NOUNS)})(?:\\s|$))"
        f"|(?<={_LAST_NAME}) (?=(?:{alternatives(LEADING_PARTICLES)}) )"
    )
