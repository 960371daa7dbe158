"""The rules case by case, and compared with the oracle on mutated records and on recorded answers of the API."""

import json
from collections import Counter
from dataclasses import asdict
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from pyspark.sql import functions as F

from insights.model.countries import load_countries
from insights.model.credentials import CREDENTIAL_FIELDS
from insights.model.quarantine import QuarantineRecord
from insights.model.reasons import MAX_LENGTHS, Rule
from insights.model.telephony import load_telephony
from insights.model.user import DIMENSIONS, User
from insights.stream import rules
from insights.stream.text_fields import RAW_FIELDS
from tests.helpers import oracle
from tests.helpers.oracle import Message
from tests.helpers.oracle.document import Rejection
from tests.helpers.oracle.values import EPOCH
from tests.helpers.raw_users import UUID, message, user, user_1_1, user_1_2
from tests.helpers.recorded_answers import ANSWERS, MANY_ANSWERS, needs_many_answers

CASES: dict[str, tuple[dict, dict]] = {
    "all of API 1.4": (
        {},
        {
            "full_name": "Élise de Vries",
            "email_domain": "example.com",
            "phone": "+33472103030",
            "phone_valid": True,
            "cell": "+33612345678",
            "cell_valid": True,
            "street": "12 Rue de la Paix",
            "postcode": "69001",
            "address": "12 Rue de la Paix, 69001 Lyon, Rhône, France",
            "country": "France",
            "continent": "Europe",
            "sub_region": "Western Europe",
            "latitude": 45.75,
            "longitude": 4.85,
            "distance_km": 204.1,
            "location_plausible": True,
            "utc_offset_minutes": 60,
            "born_at": datetime(1984, 2, 29, 10, 11, 12, 345_000, tzinfo=UTC),
            "age": 42,
            "age_band": "35-44",
            "generation": "Millennials",
            "registered_year": 2015,
            "registered_month": "2015-05",
            "tenure_days": 4218,
        },
    ),
    "white space and NFD": (
        {"name__first": "\u00a0E\u0301lise\t \u3000 Anne\u2028", "location__city": "L\u202fyon"},
        {"first_name": "Élise Anne", "city": "L yon"},
    ),
    "Hangul and a composition exclusion": (
        {"name__first": "\u1112\u1161\u11ab", "name__last": "\u0958 x"},
        {"first_name": "한", "last_name": "\u0915\u093c X"},
    ),
    "small letters": (
        {"name__first": "jean-marie", "name__last": "d'arc", "location__city": "hawke's bay (nord)"},
        {"first_name": "Jean-Marie", "last_name": "D'Arc", "city": "Hawke's Bay (Nord)"},
    ),
    "capitals": (
        {"name__first": "ÉLISE", "name__last": "O\u2019BRIEN", "location__state": "NSW", "location__city": "LYON"},
        {"first_name": "Élise", "last_name": "O\u2019Brien", "state": "NSW", "city": "Lyon"},
    ),
    "mixed case": ({"name__last": "van der Berg", "name__first": "McAdam"}, {"last_name": "van der Berg"}),
    "a script without case": ({"name__first": "آیناز", "name__last": "کریمی"}, {"full_name": "آیناز کریمی"}),
    "blanks are absent": (
        {"name__title": " ", "location__city": "", "phone": None, "picture": None, "login__username": "\u2003"},
        {"title": None, "city": None, "phone": None, "phone_valid": False, "picture_url": None, "username": None},
    ),
    "optional fields of another type": (
        {"location__city": {"a": 1}, "location__state": [1], "name__title": 5, "location__street": ["x"]},
        {"city": None, "state": None, "title": "5", "street": None},
    ),
    "no location": (
        {"location": None},
        {"address": "France", "latitude": None, "distance_km": None, "location_plausible": None},
    ),
    "only one coordinate": (
        {"location__coordinates__longitude": "east"},
        {"latitude": 45.75, "longitude": None, "distance_km": None},
    ),
    "coordinates as numbers": (
        {"location__coordinates": {"latitude": -0.5, "longitude": 1e1}},
        {"latitude": -0.5, "longitude": 10.0},
    ),
    "coordinates that are not numbers": (
        {"location__coordinates": {"latitude": "NaN", "longitude": "Infinity"}},
        {"latitude": None, "longitude": None},
    ),
    "a street without a number": ({"location__street": {"name": "Rue X"}}, {"street": "Rue X"}),
    "a street with quotes": ({"location__street": {"number": None, "name": 'Rue "X"'}}, {"street": 'Rue "X"'}),
    "a half hour west": ({"location__timezone__offset": "-3:30"}, {"utc_offset_minutes": -210}),
    "less than an hour west": ({"location__timezone__offset": "-0:30"}, {"utc_offset_minutes": -30}),
    "an offset too large for an integer": ({"location__timezone__offset": "1999999999"}, {"utc_offset_minutes": None}),
    "an offset that does not exist": ({"location__timezone__offset": "+15:00"}, {"utc_offset_minutes": None}),
    "an e-mail in capitals": ({"email": " Élise.DeVries@EXAMPLE.com "}, {"email": "élise.devries@example.com"}),
    "seconds since 1970": (
        {"dob": -86_400, "registered": 1},
        {"born_at": datetime(1969, 12, 31, tzinfo=UTC), "registered_at": datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC)},
    ),
    "a date as text": (
        {"dob": "1991-03-17 15:11:50", "registered": {"date": "2014-04-06T08:47:45.9999Z"}},
        {
            "born_at": datetime(1991, 3, 17, 15, 11, 50, tzinfo=UTC),
            "registered_at": datetime(2014, 4, 6, 8, 47, 45, 999_000, tzinfo=UTC),
        },
    ),
    "the day before a birthday": ({"dob": "1984-11-22 00:00:00"}, {"age": 41, "age_band": "35-44"}),
    "the birthday": ({"dob": "1984-11-21 23:59:59"}, {"age": 42}),
    "the last day of the Silent generation": (
        {"dob": "1945-12-31 23:59:59"},
        {"generation": "Silent", "age_band": "75+"},
    ),
    "the first day of the Boomers": ({"dob": "1946-01-01 00:00:00"}, {"generation": "Boomers"}),
    "a child": ({"dob": "2013-01-01 00:00:00"}, {"generation": "Alpha", "age": 13, "age_band": "0-17"}),
    "a telephone number of another country": (
        {"phone": "+49 30 123456"},
        {"phone": "+49 30 123456", "phone_valid": False},
    ),
    "a telephone number with its calling code": ({"phone": "+33 (4) 72.10/30-30"}, {"phone": "+33472103030"}),
    "a telephone number with letters": (
        {"phone": "(098) S17-2518", "nat": "UA"},
        {"phone": "(098) S17-2518", "phone_valid": False},
    ),
    "a national prefix of 1": (
        {"phone": "1-212-555-0123", "nat": "us"},
        {"phone": "+12125550123", "country_code": "US"},
    ),
    "a picture that is not a web address": ({"picture__large": "javascript:alert(1)"}, {"picture_url": None}),
}


@pytest.fixture(scope="module")
def outcomes(process):
    results = process([message(user(**changes), offset) for offset, (changes, _) in enumerate(CASES.values())])
    return dict(zip(CASES, results, strict=True))


@pytest.mark.parametrize("name", CASES)
def test_a_record_becomes_a_user_with(outcomes, name):
    expected = CASES[name][1]
    assert isinstance(outcomes[name], User), outcomes[name]
    assert {field: getattr(outcomes[name], field) for field in expected} == expected


def test_every_nationality_has_a_country():
    assert set(load_countries()) == {
        "AU",
        "BR",
        "CA",
        "CH",
        "DE",
        "DK",
        "ES",
        "FI",
        "FR",
        "GB",
        "IE",
        "IN",
        "IR",
        "MX",
        "NL",
        "NO",
        "NZ",
        "RS",
        "TR",
        "UA",
        "US",
    }
    assert all(len(country.alpha3) == 3 and load_telephony(code).kinds for code, country in load_countries().items())
    assert all(100 < country.reach_km < 7000 for country in load_countries().values())


@pytest.mark.usefixtures("spark")
def test_every_rule_of_the_catalogue_has_a_condition_for_each_field_in_the_order_of_the_catalogue():
    names = (*RAW_FIELDS, "structure", "born_at", "registered_at", "latitude", "longitude", "country", "age")
    violations = [
        *rules.list_value_checks(F.col("value"), 1),
        *rules.list_shape_checks(F.col("value"), F.col("record"), F.col("corrupt")),
        *rules.list_record_checks({name: F.col(name) for name in names}, F.col("key"), F.col("event_time")),
    ]
    assert [(violation.rule, violation.field) for violation in violations] == [
        (rule, field) for rule in Rule if rule is not Rule.REFUSED_BY_SINK for field in rule.fields
    ]


UNBOUNDED = (
    "title",
    "first_name",
    "last_name",
    "full_name",
    "username",
    "email",
    "email_domain",
    "phone",
    "cell",
    "street",
    "city",
    "state",
    "postcode",
    "address",
    "timezone",
    "picture_url",
    "batch_id",
    "event_id",
)
"""Fields of `User` whose texts come from the record; all other texts are chosen by the rules."""
LONGEST_TEXTS = {path: "\U0001d4b3" * length for path, length in MAX_LENGTHS.items()} | {
    "email": f"{'é' * 64}@{'.'.join(['b' * 63] * 2)}.{'c' * 61}",
    "picture__large": f"https://example.com/{'x' * 2028}",
}


@pytest.mark.parametrize("excess", [0, 1])
def test_a_text_is_rejected_by_name_from_one_character_over_its_limit_at_4_bytes_a_character(process, excess):
    messages = [
        message(user(**{path: text + excess * "x"}), offset)
        for offset, (path, text) in enumerate(LONGEST_TEXTS.items())
    ]
    outcomes = assert_agrees(process, messages)
    assert outcomes == ["TOO_LONG" if excess else "accepted"] * len(MAX_LENGTHS)


def test_a_dimension_of_the_longest_texts_fits_postgresqls_b_tree():
    bytes_by_field = {"city": MAX_LENGTHS["location__city"] * 4, "email_domain": MAX_LENGTHS["email"] * 4}
    assert set(bytes_by_field) == {field for fields in DIMENSIONS.values() for field in fields if field in UNBOUNDED}, (
        "a dimension of another text needs its bytes here"
    )
    assert max(sum(bytes_by_field.get(field, 50) for field in fields) for fields in DIMENSIONS.values()) < 2704 - 50


TEXTS = st.text(
    "aZéßIij'’- .()/[ŉǆİıΣσÅ\u0301\u0958\u1112\u1161가ñآک5\u00a0\t\u200b\u200c\u200d\u3164\ufe0f\U0001f600", max_size=8
)
EMAILS = st.one_of(
    st.sampled_from(
        [
            "A@B.CO",
            "a@b",
            "a.@b.co",
            ".a@b.co",
            "a..b@c.de",
            "a@-b.co",
            "a@b-.co",
            "a@b.1",
            "a@b.c1",
            "é@ü.fr",
            "a@b..c",
            "a" * 64 + "@b.co",
            "a" * 65 + "@b.co",
            "a@" + "b" * 64 + ".co",
            "a@b.co.",
            "a b@c.de",
            "a@b@c.de",
            "@b.co",
        ]
    ),
    st.text("ab.@-é1 _", max_size=10),
)
DATES = st.one_of(
    st.sampled_from(
        [
            "1984-02-29T00:00:00Z",
            "1983-02-29T00:00:00Z",
            "1990-1-1 00:00:00",
            "1990-01-01T24:00:00Z",
            "0000-01-01 00:00:00",
            "1990-01-01T00:00:60Z",
            "1990-01-01T00:00:00+01:00",
            "1990-01-01",
            "",
            "-1",
            "-",
            "9" * 12,
            "9" * 13,
            1e3,
            True,
            {"date": None},
            {"date": 5},
            {"x": 1},
            {"age": 1, "date": "1990-01-01T00:00:00Z"},
            {"date": "\t"},
            [],
            {},
            "1895-11-22 00:00:00",
            "1896-01-01T00:00:00.0009Z",
            "1990-01-01T00:00:00.Z",
            "0001-01-01T00:00:00Z",
        ]
    ),
    st.integers(-(10**13), 10**13),
    st.integers(-(10**9), 2 * 10**9),
    st.integers(-2_840_140_800_000, 1_893_456_000_000).map(
        lambda at: {"date": (EPOCH + timedelta(milliseconds=at)).isoformat()[:-6] + "Z"}
    ),
)
NUMBERS = st.one_of(
    st.sampled_from(
        ["90", "-90", "90.0001", "180", "1e2", "1E-5", "+1", ".5", "5.", "0x10", "1d", " 7 ", "٣", 1.5e3, 91]
    ),
    st.integers(-(10**25), 10**25),
    st.decimals(-200, 200, places=3).map(str),
)
TELEPHONES = st.from_regex(r"\A(\+|\+33|\+44|0|00|1)?[ ()./-]?[0-9]{1,12}[ x-]?[0-9]{0,2}\Z")
ANYTHING = st.one_of(
    TEXTS,
    st.none(),
    st.booleans(),
    st.integers(),
    st.just([]),
    st.just({}),
    st.just([1, "a"]),
    st.just({"a": None}),
    st.sampled_from(["{", "[", "{}", "[x]", "{a} b", '"', "\\", "\\u0000", "null"]),
)
LEAVES = {
    "gender": st.one_of(st.sampled_from(["FEMALE", "male ", "mâle", "other"]), ANYTHING),
    "nat": st.one_of(st.sampled_from([*load_countries(), "fr", "LEGO", " us"]), ANYTHING),
    "name__title": ANYTHING,
    "name__first": ANYTHING,
    "name__last": ANYTHING,
    "location__street": st.one_of(
        ANYTHING, st.fixed_dictionaries({"number": ANYTHING, "name": ANYTHING}), st.fixed_dictionaries({"name": TEXTS})
    ),
    "location__city": ANYTHING,
    "location__state": ANYTHING,
    "location__postcode": st.one_of(ANYTHING, NUMBERS),
    "location__coordinates__latitude": st.one_of(NUMBERS, ANYTHING),
    "location__coordinates__longitude": st.one_of(NUMBERS, ANYTHING),
    "location__timezone__offset": st.one_of(st.from_regex(r"\A[+-]?[0-9]{1,2}:[0-9]{2}\Z"), ANYTHING),
    "email": st.one_of(EMAILS, ANYTHING),
    "login__uuid": st.one_of(st.just(UUID.upper()), st.just(f" {UUID} "), st.uuids().map(str), ANYTHING),
    "login__username": ANYTHING,
    "dob": DATES,
    "registered": DATES,
    "phone": st.one_of(TELEPHONES, ANYTHING),
    "cell": st.one_of(TELEPHONES, ANYTHING),
    "picture__large": st.one_of(st.sampled_from(["http://x", "https://x y", "ftp://x"]), ANYTHING),
    "location": st.one_of(st.none(), ANYTHING),
    "extra": ANYTHING,
}
MUTATIONS = st.lists(st.one_of(*(st.tuples(st.just(path), values) for path, values in LEAVES.items())), max_size=3).map(
    lambda mutations: dict(sorted(mutations, key=lambda mutation: mutation[0].count("__"), reverse=True))
)
CUTS = st.tuples(st.integers(0, 900), st.binary(max_size=3), st.integers(0, 3))
RECORDS = st.tuples(st.sampled_from([user, user, user, user_1_2, user_1_1]), MUTATIONS, st.booleans())


def _encode(record, cut) -> bytes:
    make, mutations, escaped = record
    if make is user_1_1:
        mutations = {path: value for path, value in mutations.items() if path.count("__") < 2}
    value: bytes = json.dumps(make(**mutations), ensure_ascii=escaped).encode("utf-8", "surrogatepass")
    if cut is None:
        return value
    at, inserted, dropped = cut
    return b"".join((value[:at], inserted, value[at + dropped :]))


def assert_agrees(process, messages: list[Message]) -> list[str]:
    """Compare the stream with the oracle on every message; return `accepted` or the reason for each."""
    results = []
    for input_message, outcome in zip(messages, process(messages), strict=True):
        expected = oracle.parse(input_message)
        if isinstance(expected, Rejection):
            assert isinstance(outcome, QuarantineRecord), (input_message.value, expected)
            assert (outcome.reason, outcome.field) == (expected.reason, expected.field), input_message.value
            results.append(expected.reason.value)
        else:
            assert isinstance(outcome, User), (input_message.value, outcome)
            ours, theirs = asdict(outcome), asdict(expected)
            assert ours.pop("distance_km") == pytest.approx(theirs.pop("distance_km"), abs=0.11)
            assert ours == theirs, input_message.value
            results.append("accepted")
    return results


@settings(
    max_examples=2,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
@given(st.lists(st.tuples(RECORDS, st.none() | CUTS), min_size=250, max_size=250))
def test_spark_and_the_oracle_agree_on_mutated_records(process, records):
    messages = [
        Message(_encode(record, cut if offset % 4 == 0 else None), UUID.encode(), offset=offset)
        for offset, (record, cut) in enumerate(records)
    ]
    assert assert_agrees(process, messages).count("accepted") > 10


@pytest.mark.parametrize(
    ("folder", "expected"),
    [
        (
            ANSWERS,
            {
                ("v1.0", "MISSING_ID"): 3,
                ("v1.1", "MISSING_ID"): 3,
                ("v1.2", "accepted"): 3,
                ("v1.3", "accepted"): 3,
                ("v1.4", "accepted"): 3,
            },
        ),
        pytest.param(
            MANY_ANSWERS,
            {
                ("v1.0-foobar-100", "MISSING_ID"): 100,
                ("v1.1-foobar-100", "MISSING_ID"): 100,
                ("v1.2-foobar-100", "accepted"): 99,
                ("v1.2-foobar-100", "BAD_EMAIL"): 1,
                ("v1.3-foobar-100", "accepted"): 100,
                ("v1.4-foobar-1000", "accepted"): 1000,
                ("v1.4-lego-25", "UNKNOWN_COUNTRY"): 25,
                ("v1.4-nations-200", "accepted"): 200,
                ("v1.4-trimmed-50", "MISSING_FIELD"): 50,
            },
            marks=needs_many_answers,
        ),
    ],
    ids=["few", "many"],
)
def test_recorded_answers_are_accepted_or_rejected_for_the_right_reason(process, folder, expected):
    messages: list[Message] = []
    origins: list[str] = []
    for path in sorted(folder.glob("*.json")):
        for record in json.loads(path.read_bytes())["results"]:
            for name in CREDENTIAL_FIELDS:
                record.get("login", {}).pop(name, None)
            messages.append(message(record, len(messages), record.get("login", {}).get("uuid", "none")))
            origins.append(path.stem)
    assert Counter(zip(origins, assert_agrees(process, messages), strict=True)) == expected
