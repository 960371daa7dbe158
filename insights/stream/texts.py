"""The texts of a record as Spark columns: told from objects and arrays, and cleansed of what shows nothing.

Only built-in functions that never raise are used: they accept any text, with ANSI mode on or off.

A value that `from_json` read as text may have been an object or array, which it copies as JSON. Where a text begins
with a bracket, the value's type is looked up in `variant`: the record as `try_parse_json` parses it, in an array.
"""

from collections.abc import Iterable

from pyspark.sql import Column
from pyspark.sql import functions as F

from insights.model import invisible
from insights.model.invisible import build_character_class

_TIDY = "".join(rf"\x{code:02x}" for code in (*range(0x20, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)))
_UNTIDY = rf"[^{_TIDY}\u0100-\u02ff]"
"""A character that may need cleansing: printable ASCII and U+00A1 to U+02FF without the soft hyphen hold no white space
but the space, nothing invisible, and nothing that NFC would compose. Java looks up single characters below U+0100 in a
table, but tries ranges one after another, which takes 30 times as long."""
_JOINERS, _JOINING = build_character_class(invisible.JOINERS), build_character_class(invisible.JOINING)
_SELECTORS, _VARIED = build_character_class(invisible.SELECTORS), build_character_class(invisible.VARIED)
_PICTOGRAPHS = build_character_class(invisible.PICTOGRAPHS)
_REMOVED = build_character_class(invisible.REMOVED)
_ORDINARY = r"\x00-\xac\xae-\u034e\u0350-\u061b\u061d-\u115e"
"""The characters before the first long list of invisible ones, to be told quickly: a class of Java is tried range by
range."""
_MAYBE_INVISIBLE = f"(?![{_ORDINARY}])[{_REMOVED}{_JOINERS}{_SELECTORS}]"
_ZWJ = r"\x{200D}"
_INVISIBLE = (
    f"((?=.[{_JOINERS}{_SELECTORS}])(?:"
    f"(?:[{_VARIED}][{_SELECTORS}]|[{_PICTOGRAPHS}](?={_ZWJ}))(?:{_ZWJ}(?=[{_PICTOGRAPHS}]))?"
    f"|[{_JOINING}][{_JOINERS}](?=[{_JOINING}])))|{_MAYBE_INVISIBLE}"
)
"""The only group has joiners and selectors to keep, with what is before them: a lookbehind of Java sees only half of a
character beyond U+FFFF."""
_BLANK = rf"[\p{{IsWhite_Space}}\p{{Cc}}{build_character_class(invisible.BLANKS)}]+"


def is_structure(text: Column, variant: Column, path: str) -> Column:
    """Return whether the value at this path of the record is an object or array, and not a text in brackets."""
    kind = F.schema_of_variant(F.try_variant_get(variant, f"$[0].{path}", "variant"))
    return (text.startswith("{") | text.startswith("[")) & ~kind.eqNullSafe("STRING")


def extract_street(street: Column, variant: Column) -> Column:
    """Return the text of `location.street`: text up to API 1.2, an object with number and name since API 1.3."""
    usual = r'^\{"number":([0-9]+),"name":"([^"\\]*)"\}$'
    parts = []
    for name in ("number", "name"):
        part = F.get_json_object(street, f"$.{name}")
        parts.append(F.when(~is_structure(part, variant, f"location.street.{name}"), part))
    return (
        F.when(~is_structure(street, variant, "location.street"), street)
        .when(street.rlike(usual), F.regexp_replace(street, usual, "$1 $2"))
        .when(street.startswith("{"), F.concat_ws(" ", *parts))
    )


def extract_date(date: Column, variant: Column, name: str) -> tuple[Column, Column]:
    """Return the text of `dob` or `registered`, and whether an object or array is in its place.

    The text is bare up to API 1.1, the `date` of an object since API 1.2.
    """
    start = '{"date":"'
    structure = is_structure(date, variant, name)
    usual = date.startswith(start) & ~date.contains("\\")
    inner = F.get_json_object(date, "$.date")
    text = (
        F.when(~structure, date)
        .when(usual, F.substring_index(F.substr(date, F.lit(len(start) + 1)), '"', 1))
        .otherwise(inner)
    )
    nested = ~date.startswith("{") | is_structure(inner, variant, f"{name}.date")
    return text, structure & ~usual & F.coalesce(nested, F.lit(False))


def needs_tidying(texts: Iterable[Column], is_usual: Column) -> Column:
    """Return whether a text may need `tidy`. One test of all fields together lets most records skip it.

    No text in the usual form is blank or surrounded by spaces.
    """
    together = F.concat(F.lit("|"), F.concat_ws("|", *texts), F.lit("|"))
    surrounded = together.contains("||") | together.contains("| ") | together.contains(" |")
    return together.contains("  ") | together.rlike(_UNTIDY) | (~is_usual & surrounded)


def tidy(text: Column) -> Column:
    """Remove invisible characters, collapse white space, normalise to NFC and trim.

    NFC by the ICU classes that Spark ships for its collations.
    """
    present = F.coalesce(text, F.lit(""))
    visible = F.when(present.rlike(_MAYBE_INVISIBLE), F.regexp_replace(present, _INVISIBLE, "$1")).otherwise(present)
    spaced = F.regexp_replace(visible, _BLANK, " ")
    compose = F.lit("com.ibm.icu.text.Normalizer"), F.lit("compose")
    return F.trim(F.call_function("try_reflect", *compose, spaced, F.lit(False)))


def drop_blank(text: Column) -> Column:
    """Return a trimmed text, null if it is blank."""
    return F.when(text != "", text)
