"""Letter case by language: words that stay lower case within names, and letters with capitals of their own.

`LANGUAGES` has the languages (ISO 639-1) of each nationality. A nationality without an entry has none of these words.
"""

from collections.abc import Iterable, Mapping

LANGUAGES: Mapping[str, tuple[str, ...]] = {
    "AU": ("en",),
    "BR": ("pt",),
    "CA": ("en", "fr"),
    "CH": ("de", "fr", "it"),
    "DE": ("de",),
    "DK": ("da",),
    "ES": ("es",),
    "FR": ("fr",),
    "GB": ("en",),
    "IE": ("en",),
    "IN": ("en",),
    "MX": ("es",),
    "NL": ("nl",),
    "NO": ("no",),
    "NZ": ("en",),
    "RS": ("sr",),
    "TR": ("tr",),
    "UA": ("uk",),
    "US": ("en",),
}

PARTICLES: Mapping[str, str] = {
    "da": "af den det i og på ved",
    "de": "am an auf bei dem den der des im in ob und unter vom von vor zu zum zur",
    "en": "and by in le of on the under upon",
    "es": "a al con de del e en la las los y",
    "fr": "au aux de des du en et la le les lès près sous sur à",
    "it": "al alla con da dal dalla de dei del della delle di e in la nel sul",
    "nl": "aan bij de den der en het in op te ten ter van 's 't",
    "no": "av den det i og på ved",
    "pt": "a as da das de do dos e em na nas no nos",
    "sr": "i kod na nad pod pri u",
    "tr": "ve",
}
"""Articles, prepositions and conjunctions within names of people and places, by language."""

LEADING_PARTICLES: Mapping[str, str] = {
    "da": "af de von",
    "de": "van vom von zu zum zur",
    "es": "de del",
    "fr": "de des du",
    "nl": "de den der in op te ten ter van von 's 't",
    "no": "af av de von",
    "pt": "da das de do dos",
}
"""Particles with which a last name may begin."""

GENERIC_NOUNS: Mapping[str, str] = {
    "no": "allé gata gate plass veg vei",
    "uk": "bulvar ploshcha prospekt provulok vulytsya",
}
"""Kinds of streets that stay lower case after a name, even as the last word."""

CAPITALS: Mapping[str, tuple[str, str]] = {"nl": ("ij", "IJ"), "tr": ("i", "İ")}
"""Beginnings of words that a language capitalises in its own way."""

LOWERED_BY_LANGUAGE = frozenset({"tr"})
"""Languages with a mapping to lower case of their own: `I` is the capital of `ı`, `İ` of `i`."""


def list_words(words: Mapping[str, str], languages: Iterable[str]) -> list[str]:
    """Return the words of all these languages, each once."""
    return sorted({word for language in languages for word in words.get(language, "").split()})
