"""Telephone numbers as Spark columns: a text becomes the digits to be dialled, and these a number of the country.

Both steps follow libphonenumber's `parse` and `is_valid_number_for_region`.
"""

from collections.abc import Mapping

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from insights.model.countries import load_countries
from insights.model.telephony import EXTENSION, NUMBER, Telephony, load_telephony, map_digits

_PLAIN_PUNCTUATION = " ()-./"
_UNUSUAL = r"[^+0-9 ()./-]|[0-9][ ()./-]*\+"
"""A character that no usual number has, or a plus sign after a digit."""
_MAX_LENGTH = 250
"""Longer texts are no numbers for libphonenumber either."""
_CONTEXT = (
    r";phone-context=(?:(\+[-.()0-9]*[0-9][-.()0-9]*)"
    r"|(?:[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?\.)*[A-Za-z](?:[A-Za-z0-9-]*[A-Za-z0-9])?\.?)(?:;|$)"
)
_KEYPAD = ("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "22233344455566677778889999")


def read_dialled(frame: DataFrame, paths: Mapping[str, str]) -> DataFrame:
    """Add `<name>_dialled` for each of these paths of texts, by name: the digits, after `+` if the text has one.

    It is empty if the text is no number.
    """
    numbers = {
        f"{name}_dialled": F.when(F.col(path).rlike(_UNUSUAL), _find_number(F.col(path)))
        for name, path in paths.items()
    }
    frame = frame.withColumns(numbers)
    frame = frame.withColumns({name: _drop_extension(F.col(name)) for name in numbers})
    digits = {
        f"{name}_dialled": F.coalesce(_convert_to_digits(F.col(f"{name}_dialled")), _compact(F.col(path)))
        for name, path in paths.items()
    }
    return frame.withColumns(digits)


def _find_number(text: Column) -> Column:
    """Return the number in a text: without what precedes and follows it, or by the parameters of RFC 3966."""
    number = F.regexp_extract(text, r"[+\uff0b\p{Nd}].*?(?=[^\p{L}\p{N}#]*$|[\\/] *x)", 0)
    local = F.regexp_extract(text, r"^(?:.*?tel:)?(.*?);phone-context=", 1)
    found = (
        F.when(F.char_length(text) > _MAX_LENGTH, "")
        .when(~text.contains(";phone-context="), number)
        .when(text.rlike(_CONTEXT), F.concat(F.regexp_extract(text, _CONTEXT, 1), local))
        .otherwise("")
    )
    return F.substring_index(found, ";isub=", 1)


def _drop_extension(number: Column) -> Column:
    """Return a number without its extension, empty if it cannot be a number."""
    before = F.regexp_extract(number, f"(?iU)^(.*?)(?:{EXTENSION})$", 1)
    return (
        F.when(number.isNull(), number)
        .when(before.rlike(f"(?U)^(?:{NUMBER})$"), before)
        .when(number.rlike(f"(?iU)^(?:{NUMBER})(?:{EXTENSION})?$"), number)
        .otherwise("")
    )


def _convert_to_digits(number: Column) -> Column:
    """Return the ASCII digits of a number; three letters or more stand for the digits of a keypad."""
    plus = F.when(number.rlike("^[+\uff0b]"), "+").otherwise("")
    spelled = F.when(number.rlike("(?:.*?[A-Za-z]){3}"), F.translate(F.upper(number), *_KEYPAD)).otherwise(number)
    return F.concat(plus, F.regexp_replace(F.translate(spelled, *map_digits()), "[^0-9]", ""))


def _compact(text: Column) -> Column:
    """Return the digits and plus signs of a text with only usual punctuation."""
    return F.translate(text, _PLAIN_PUNCTUATION, "")


def extract_national_number(dialled: Column, nationality: Column) -> Column:
    """Return the national significant number; empty or null if the digits are not a number of that country."""
    countries = "|".join(f"{code}{_build_prefix(load_telephony(code))}" for code in load_countries())
    return F.regexp_extract(F.concat(nationality, dialled), f"^(?:{countries})([0-9]+)$", 1)


def build_pattern(telephony: Telephony) -> str:
    """Return a pattern that matches the digits of a valid number; its only group is the national significant number."""
    return f"^{_build_prefix(telephony)}([0-9]+)$"


def _build_prefix(telephony: Telephony) -> str:
    """Return a pattern that matches what precedes the national significant number of a valid number.

    Each step commits to its choice, as in libphonenumber: the calling code, after `+`, an international prefix or
    nothing; then the national prefix, unless only the number with the prefix looks like one of the country.
    """
    code = telephony.calling_code
    general = f"(?:{telephony.general})$"
    prefix = f"(?>{telephony.national_prefix})" if telephony.national_prefix else ""
    drop_prefix = f"(?>{prefix}(?={general})|(?={general})|{prefix}|)" if prefix else ""
    international = f"(?>{telephony.international_prefix})(?!0)"
    bare = (
        rf"(?={code})(?:(?!{general})(?={code}{drop_prefix}{general})|(?=[0-9]{{{telephony.max_length + 1}}}))"
        rf"{code}{drop_prefix}"
    )
    lead = rf"(?>\++{code}|(?:\++(?=0))?{international}{code}|(?!{international}){bare}|(?!{international}))"
    kinds = "|".join(f"(?:{kind})" for kind in telephony.kinds)
    return rf"{lead}{drop_prefix}(?={general})(?=(?:{kinds})$)"
