"""Text in brackets is text, and invisible characters show: every character of Unicode in one job."""

import pytest
from pyspark.sql import functions as F

from insights.model import invisible
from insights.model.quarantine import QuarantineRecord
from insights.model.reasons import Reason
from insights.model.user import User
from insights.stream import texts
from tests.helpers import oracle
from tests.helpers.oracle.cleanse import clean
from tests.helpers.raw_users import message, user

BRACKETS: dict[str, tuple[dict, dict]] = {
    "a city": ({"location__city": "[deleted]"}, {"city": "[deleted]"}),
    "a user name": ({"login__username": "{anonymous}"}, {"username": "{anonymous}"}),
    "a first name": ({"name__first": "[redacted]"}, {"first_name": "[redacted]"}),
    "a last name that is JSON": ({"name__last": '{"a": 1}'}, {"last_name": '{"a": 1}'}),
    "an empty array as text": ({"location__state": "[]"}, {"state": "[]"}),
    "only an opening bracket": ({"location__city": "[Lyon"}, {"city": "[Lyon"}),
    "a bracket after white space": ({"location__city": " [x]"}, {"city": "[x]"}),
    "a street": ({"location__street": "{unknown}"}, {"street": "{unknown}"}),
    "a street that is an object's JSON": (
        {"location__street": '{"number":12,"name":"Rue X"}'},
        {"street": '{"number":12,"name":"Rue X"}'},
    ),
    "a street's name": ({"location__street": {"number": 5, "name": "[Rue]"}}, {"street": "5 [Rue]"}),
    "an array for a city": ({"location__city": ["Lyon"]}, {"city": None}),
    "an object for a user name": ({"login__username": {}}, {"username": None}),
    "an array for a street": ({"location__street": [{"number": 1}]}, {"street": None}),
    "an array for a street's name": ({"location__street": {"number": 5, "name": ["x"]}}, {"street": "5"}),
    "a number for a city": ({"location__city": 5}, {"city": "5"}),
}
REJECTED: dict[str, tuple[dict, Reason, str]] = {
    "an array for a first name": ({"name__first": ["a"]}, Reason.SCHEMA, "name.first"),
    "an object for an e-mail": ({"email": {"a": 1}}, Reason.SCHEMA, "email"),
    "an array for a date": ({"dob": {"date": []}}, Reason.SCHEMA, "dob"),
    "a date in brackets": ({"dob": "[1984]"}, Reason.BAD_DATE, "dob"),
    "a date that is an object's JSON": (
        {"registered": '{"date":"2015-05-05T05:05:05Z"}'},
        Reason.BAD_DATE,
        "registered",
    ),
    "a date in brackets within an object": ({"dob": {"date": "{}"}}, Reason.BAD_DATE, "dob"),
    "an id in brackets": ({"login__uuid": "[x]"}, Reason.MISSING_ID, "login.uuid"),
    "an invisible first name": ({"name__first": "\u200b"}, Reason.MISSING_FIELD, "name.first"),
    "a filler as a last name": ({"name__last": "\u3164"}, Reason.MISSING_FIELD, "name.last"),
    "an e-mail of controls": ({"email": "\u202e\u2066 \u2069"}, Reason.MISSING_FIELD, "email"),
}
VISIBLE: dict[str, tuple[str, str]] = {
    "a right-to-left override": ("Jo\u202ehn\u202c", "John"),
    "isolates": ("\u2067John\u2069", "John"),
    "a zero-width space": ("John\u200bny", "Johnny"),
    "a soft hyphen": ("John\u00adny", "Johnny"),
    "a byte order mark": ("\ufeffJohn", "John"),
    "a filler between words": ("John\u3164\u2800Bob", "John Bob"),
    "a joiner between Latin letters": ("Jo\u200dhn", "John"),
    "a non-joiner in Persian": ("اسلام\u200cشهر", "اسلام\u200cشهر"),
    "two non-joiners in Persian": ("اسلام\u200c\u200cشهر", "اسلامشهر"),
    "a non-joiner at the end": ("اسلام\u200c", "اسلام"),
    "a joiner in Hindi": ("क्\u200dष", "क्\u200dष"),
    "a family": ("\U0001f468\u200d\U0001f469\u200d\U0001f467", "\U0001f468\u200d\U0001f469\u200d\U0001f467"),
    "a heart on fire": ("\u2764\ufe0f\u200d\U0001f525", "\u2764\ufe0f\u200d\U0001f525"),
    "a variant of an ideograph": ("葛\U000e0100城", "葛\U000e0100城"),
    "a variant of a rare ideograph": ("\U0002000b\U000e0101", "\U0002000b\U000e0101"),
    "a non-joiner in Adlam": ("\U0001e900\u200c\U0001e901", "\U0001e900\u200c\U0001e901"),
    "a joiner after a selector without a base": ("A\ufe0f\u200d\U0001f525", "A\U0001f525"),
    "a selector without a base": ("\ufe0fJohn\U000e0100", "John"),
    "tag characters": ("John\U000e0041\U000e0042", "John"),
    "a noncharacter": ("John\ufffe", "John"),
}


@pytest.fixture(scope="module")
def outcomes(process):
    changes = {name: case[0] for name, case in (BRACKETS | REJECTED).items()}
    changes |= {name: {"name__first": text} for name, (text, _) in VISIBLE.items()}
    messages = [message(user(**change), offset) for offset, change in enumerate(changes.values())]
    results = dict(zip(changes, process(messages), strict=True))
    for name, input_message in zip(changes, messages, strict=True):
        expected = oracle.parse(input_message)
        assert isinstance(expected, User) == isinstance(results[name], User), (name, expected)
    return results


@pytest.mark.parametrize("name", BRACKETS)
def test_brackets_are_text_in_a_text_only(outcomes, name):
    expected = BRACKETS[name][1]
    assert isinstance(outcomes[name], User), outcomes[name]
    assert {field: getattr(outcomes[name], field) for field in expected} == expected


@pytest.mark.parametrize("name", REJECTED)
def test_a_record_is_rejected_for_what_it_is(outcomes, name):
    _, reason, field = REJECTED[name]
    assert isinstance(outcomes[name], QuarantineRecord)
    assert (outcomes[name].reason, outcomes[name].field) == (reason, field)


@pytest.mark.parametrize("name", VISIBLE)
def test_a_name_shows_all_of_its_characters(outcomes, name):
    assert outcomes[name].first_name == VISIBLE[name][1]


CONTEXTS = ("a{}b", "\u06a9{}\u06a9", "\U0001f468{}\U0001f525")
CHARACTERS = [chr(point) for point in range(1, 0x110000) if not 0xD800 <= point < 0xE000]


def test_spark_and_the_oracle_agree_on_every_character_of_unicode(spark):
    """Each is put into each context, 1,000 to a text."""
    originals = [
        "|".join(context.format(character) for character in CHARACTERS[start : start + 1000])
        for context in CONTEXTS
        for start in range(0, len(CHARACTERS), 1000)
    ]
    frame = spark.createDataFrame([(text,) for text in originals], "text STRING").coalesce(1)
    tidied = frame.select(texts.tidy(F.col("text")).alias("text")).toArrow()["text"].to_pylist()
    assert len(tidied) == len(originals) > 3 * 1100
    different = []
    for original, text in zip(originals, tidied, strict=True):
        expected = clean(original) or ""
        if text != expected:
            pairs = zip(text.split("|"), expected.split("|"), strict=False)
            different += [(ascii(ours), ascii(theirs)) for ours, theirs in pairs if ours != theirs]
    assert different[:10] == []


def test_every_character_that_is_ignorable_by_default_is_on_one_of_the_lists(spark):
    default_ignorable = 5  # com.ibm.icu.lang.UProperty.DEFAULT_IGNORABLE_CODE_POINT
    ignorable = F.call_function(
        "try_reflect",
        F.lit("com.ibm.icu.lang.UCharacter"),
        F.lit("hasBinaryProperty"),
        F.col("id").cast("int"),
        F.lit(default_ignorable),
    )
    found = {row["id"] for row in spark.range(0x110000).where(ignorable == "true").collect()}
    lists = (invisible.BLANKS, invisible.REMOVED, invisible.JOINERS, invisible.SELECTORS)
    listed = {point for ranges in lists for first, last in ranges for point in range(first, last + 1)}
    assert len(found) > 4000
    assert found <= listed
    noncharacters = {point for point in range(0x110000) if point & 0xFFFE == 0xFFFE or 0xFDD0 <= point <= 0xFDEF}
    assert listed - found == noncharacters | {0x2800, *range(0xFFF9, 0xFFFC)}
