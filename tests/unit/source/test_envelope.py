"""Unpacking responses: which are rejected, which values survive, and which never leave the client."""

import json
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from insights.model.canonical_json import parse_canonical
from insights.model.credentials import is_secret
from insights.model.reasons import MAX_DEPTH, Reason
from insights.source import FetchFailure, SourceError, envelope
from insights.source.envelope import PageRequest, unpack_page
from tests.helpers.hidden_secrets import find_canaries, hide_secret
from tests.helpers.recorded_answers import ANSWERS, MANY_ANSWERS, needs_many_answers
from tests.helpers.text_cases import UUID_SPELLINGS

ONE = PageRequest("s", 1, 1)
INFO = '{"seed":"s","results":1,"page":1,"version":"1.4"}'
SPACED_INFO = INFO.replace(",", ", ")
SECRETS = ("password", "salt", "md5", "sha1", "sha256")


def answer(*rows: str, info: str = INFO) -> bytes:
    return f'{{"results":[{",".join(rows)}],"info":{info}}}'.encode("utf-8", "surrogatepass")


def spell_compactly(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def unpack_one(row: str) -> bytes:
    [record] = unpack_page(answer(row), ONE).records
    return record


def fail_to_unpack(body: bytes, page_request: PageRequest = ONE) -> SourceError:
    with pytest.raises(SourceError) as caught:
        unpack_page(body, page_request)
    return caught.value


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", FetchFailure.NOT_JSON),
        (b"<html></html>", FetchFailure.NOT_JSON),
        (answer("{}")[:-3], FetchFailure.NOT_JSON),
        (b"\xff\xfe{}", FetchFailure.NOT_JSON),
        (answer("{}", info='{"seed":"s","page":1,"version":NaN}'), FetchFailure.NOT_JSON),
        (answer("{}") + b"{}", FetchFailure.NOT_JSON),
        (answer("{}") + b'"', FetchFailure.NOT_JSON),
        (answer("{]}"), FetchFailure.NOT_JSON),
        (b'{"results":[{}}],"info":' + INFO.encode() + b"}", FetchFailure.NOT_JSON),
        (answer("{}", info='{"seed":"\\"'), FetchFailure.NOT_JSON),
        (b'{"error":"Uh oh"}', FetchFailure.API_ERROR),
        (b'{"error":"Uh oh","results":[{}],"info":' + INFO.encode() + b"}", FetchFailure.API_ERROR),
        (b"[]", FetchFailure.ENVELOPE),
        (b"null", FetchFailure.ENVELOPE),
        (b'"text"', FetchFailure.ENVELOPE),
        (b"{}", FetchFailure.ENVELOPE),
        (b'{"results":{},"info":' + INFO.encode() + b"}", FetchFailure.ENVELOPE),
        (b'{"results":null,"info":' + INFO.encode() + b"}", FetchFailure.ENVELOPE),
        (b'{"results":[{}]}', FetchFailure.ENVELOPE),
        (answer("{}", info="null"), FetchFailure.ENVELOPE),
        (answer("{}", info='{"seed":"s","page":1}'), FetchFailure.ENVELOPE),
        (answer("{}", info='{"seed":"other","page":1,"version":"1.4"}'), FetchFailure.MISMATCH),
        (answer("{}", info='{"seed":"s","page":2,"version":"1.4"}'), FetchFailure.MISMATCH),
        (answer("{}", "{}"), FetchFailure.MISMATCH),
        (answer(), FetchFailure.EMPTY),
        (answer("{}", "NaN"), FetchFailure.MISMATCH),
        (answer("{}", info='{"seed":' + "[" * 100_000 + "]" * 100_000 + "}"), FetchFailure.TOO_DEEP),
    ],
)
def test_a_response_that_is_not_the_page_is_an_error(body: bytes, reason: FetchFailure) -> None:
    assert fail_to_unpack(body).reason is reason


GOOD = '{"login":{"uuid":"a"}}'
BAD_ROWS = [
    ('{"a":' + '{"a":' * MAX_DEPTH + "1" + "}" * MAX_DEPTH + "}", Reason.SCHEMA, "more than 32 levels"),
    ('{"a":' + "[" * 100_000 + "]" * 100_000 + "}", Reason.SCHEMA, "more than 32 levels"),
    ('{"a":NaN}', Reason.SCHEMA, "NaN is not a JSON number"),
    ('{"a":[Infinity]}', Reason.SCHEMA, "Infinity is not a JSON number"),
    ('{"a":-Infinity}', Reason.SCHEMA, "-Infinity is not a JSON number"),
    ('{"a":01}', Reason.SCHEMA, "delimiter"),
    ('{"a":"\t"}', Reason.SCHEMA, "Invalid control character"),
    ('{"a":"\x00"}', Reason.ENCODING, "U+0000"),
    ('{"a":"\ud800"}', Reason.ENCODING, "not UTF-8"),
    ("null", Reason.SCHEMA, "of the type NoneType"),
    ('"}],"', Reason.SCHEMA, "of the type str"),
    ("17", Reason.SCHEMA, "of the type int"),
    ("[[],{}]", Reason.SCHEMA, "of the type list"),
    ("{'a':1}", Reason.SCHEMA, "Expecting property name"),
    ('{"a":1,}', Reason.SCHEMA, "double quotes"),
    ("", Reason.SCHEMA, "Expecting value"),
    ("{}{}", Reason.SCHEMA, "Extra data"),
]


@pytest.mark.parametrize(("row", "reason", "cause"), BAD_ROWS, ids=[repr(row)[:24] for row, *_ in BAD_ROWS])
@pytest.mark.parametrize("position", range(3))
def test_a_bad_row_is_rejected_and_the_others_are_kept(row: str, reason: Reason, cause: str, position: int) -> None:
    rows = [GOOD, GOOD]
    rows.insert(position, row)
    page = unpack_page(answer(*rows), PageRequest("s", 1, 3))
    [rejected] = page.rejected
    assert page.records == [GOOD.encode()] * 2
    assert (rejected.reason, rejected.field) == (reason, "value")
    assert cause in rejected.detail
    text = row.encode("utf-8", "surrogatepass")
    assert (rejected.size, rejected.sha256, rejected.payload) == (len(text), sha256(text).hexdigest(), text)


def test_rows_around_a_bad_one_have_the_text_that_they_have_without_it() -> None:
    rows = ['{"a" : [1.50, "]\\"}", {}], "b":1e400}', '{"results":[{"results":[1]}]}', "{}", '{"e":"é\\u00e9\\ud800"}']
    apart = [unpack_one(row) for row in rows]
    page = unpack_page(b" " + answer(*rows[:2], " null ", *rows[2:]), PageRequest("s", 1, 5))
    assert page.records == apart
    assert len(page.rejected) == 1


def test_a_rejected_row_is_kept_without_its_credentials() -> None:
    [rejected] = unpack_page(answer('{"login":{"password":"canary"},"a":NaN}'), ONE).rejected
    assert rejected.payload == b'{"login":{"password":null},"a":NaN}'


def test_of_a_large_rejected_row_only_size_and_digest_are_kept() -> None:
    [rejected] = unpack_page(answer('{"a":NaN,"b":"' + "x" * 1024 * 1024 + '"}'), ONE).rejected
    assert (rejected.size, rejected.payload) == (1024 * 1024 + 16, None)


@pytest.mark.parametrize("nat", ["null", "7", "{}", '"??"'])
def test_a_row_without_a_nationality_does_not_fail_a_page_of_nationalities(nat: str) -> None:
    request = PageRequest("s", 1, 2, frozenset({"FR"}))
    assert len(unpack_page(answer('{"nat":"FR"}', f'{{"nat":{nat}}}'), request).records) == 2


def test_a_page_with_fewer_rows_than_requested_is_short() -> None:
    assert fail_to_unpack(answer("{}"), PageRequest("s", 1, 2)).reason is FetchFailure.SHORT


def test_html_is_called_html() -> None:
    assert "HTML" in fail_to_unpack(b"  <!DOCTYPE html>").detail


def test_an_error_quotes_no_personal_data() -> None:
    assert "hunter2" not in str(fail_to_unpack(b'{"results":[{"login":{"password":"hunter2"}}'))


def test_nesting_up_to_the_limit_is_accepted() -> None:
    row = '{"a":' * (MAX_DEPTH - 1) + "{}" + "}" * (MAX_DEPTH - 1)
    assert unpack_one(row) == row.encode()


@pytest.mark.parametrize(
    "text",
    [
        '"\\u0000"',
        '"\\ud800"',
        '"a\\udfffb"',
        '"\\"\\\\"',
        '"é 😀 نام"',
        '"e\u0301"',
        "1.10",
        "1e400",
        "-0",
        "-0.0",
        "123456789012345678901234567890",
        "9" * 5000,
        "9223372036854775808",
        "0.1000000000000000055511151231257827",
        "null",
        "true",
        "[]",
        '[1.50,{"a":2.50}]',
    ],
)
def test_a_value_keeps_its_own_text(text: str) -> None:
    assert unpack_one(f'{{"a":{text}}}') == f'{{"a":{text}}}'.encode()


def test_a_pair_of_escaped_surrogates_becomes_its_character() -> None:
    assert unpack_one('{"a":"\\ud83d\\ude00"}') == '{"a":"😀"}'.encode()


def test_fields_keep_their_order_and_lose_spaces() -> None:
    assert unpack_one('{ "b" : 1 ,\n "a" : [ 2 , 3 ] }') == b'{"b":1,"a":[2,3]}'


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(max_size=8).filter(lambda name: not is_secret(name)), inner, max_size=4)
    ),
    max_leaves=20,
)


@settings(deadline=None)
@given(
    st.dictionaries(
        st.text(max_size=8).filter(lambda name: name != "nat" and not is_secret(name)), json_values, max_size=5
    )
)
def test_any_record_without_credentials_survives(record: dict[str, Any]) -> None:
    assert json.loads(unpack_one(json.dumps(record))) == json.loads(json.dumps(record))


@settings(deadline=None)
@given(
    st.dictionaries(st.text(max_size=8) | st.sampled_from([*SECRETS, "id", "login", "uuid"]), json_values, max_size=5)
)
def test_the_spelling_of_a_page_does_not_change_its_records(record: dict[str, Any]) -> None:
    row = spell_compactly(record)
    assert unpack_page(answer(row), ONE) == unpack_page(answer(row, info=SPACED_INFO), ONE)


ODD_PLACES = [
    '{"login":{"salt":{"a":1},"uuid":"x"},"id":{"name":"SSN","value":"c4nary"}}',
    '{"x":{"id":{"name":"SSN","value":"c4nary"}},"id":{"name":"SSN","value":"c4nary"}}',
    '{"x":{"id":{"name":"SSN","value":"c4nary"}}}',
    '{"id":"c4nary","login":{"Pass-Word":"c4nary"}}',
    '{"id":[{"value":"c4nary","name":"SSN"}],"note":"id"}',
    '{"note":"SHA 256 = c4nary"}',
    '{"note":"p.a.s.s.w.o.r.d: c4nary","city":"Salt Lake City"}',
    '{"note":"{id: c4nary"}',
    '{"note":"\'I-D\'=c4nary"}',
    '{"id":{"name":"password: c4nary"}}',
    '{"name":"\u00e9\u00e9md\u20ac5>c4nary"}',
    '{"i d":"c4nary","sa\u20aclt":"c4nary"}',
]


@pytest.mark.parametrize("row", ODD_PLACES)
def test_the_spelling_of_a_page_does_not_change_a_secret_in_an_odd_place(row: str) -> None:
    parse_canonical(row.encode())
    unpacked = unpack_page(answer(row), ONE)
    assert unpacked == unpack_page(answer(row, info=SPACED_INFO), ONE)
    assert b"c4nary" not in unpacked.records[0]


def test_usual_records_are_not_searched_value_by_value(monkeypatch: pytest.MonkeyPatch) -> None:
    body = (ANSWERS / "v1.4.json").read_bytes()
    info = json.loads(body)["info"]
    monkeypatch.setattr(envelope, "_remove_credentials", None)
    page = unpack_page(body, PageRequest(info["seed"], info["page"], info["results"]))
    assert len(page.records) == info["results"]


def test_the_spelling_of_a_page_does_not_change_what_hides_a_secret() -> None:
    random, rows = Random(16), []
    for number in range(2000):
        with suppress(ValueError, RecursionError):
            row = spell_compactly(json.loads(hide_secret(random, f"{number:032x}").value))
            parse_canonical(row.encode())
            rows.append(row)
    assert len(rows) > 500
    for row in rows:
        assert unpack_page(answer(row), ONE) == unpack_page(answer(row, info=SPACED_INFO), ONE)


@settings(deadline=None)
@given(
    st.dictionaries(st.sampled_from([*SECRETS, "uuid", "Password", "MD5"]), st.just("canary"), min_size=1), st.data()
)
def test_credentials_are_removed_wherever_they_have_moved(login: dict[str, str], data: st.DataObject) -> None:
    path = data.draw(st.lists(st.sampled_from(["login", "account", "x"]) | st.none(), max_size=4))
    record: Any = login | {"uuid": "kept"}
    for name in path:
        record = [record] if name is None else {name: record}
    stored = unpack_one(json.dumps(record if isinstance(record, dict) else {"login": record})).decode()
    assert "canary" not in stored
    assert "kept" in stored


@pytest.mark.parametrize(
    ("identity", "stored"),
    [
        ('{"name":"SSN","value":"canary"}', '{"id":{"name":"SSN"}}'),
        ('{"name":"SSN","value":null}', '{"id":{"name":"SSN"}}'),
        ('{"name":"SSN","Value":"canary"}', '{"id":{"name":"SSN"}}'),
        ('[{"name":"SSN","value":"canary"}]', '{"id":[{"name":"SSN"}]}'),
        ('{"name":"SSN","national":{"value":"canary"}}', '{"id":{"name":"SSN"}}'),
        ('"canary"', "{}"),
        ("12345", "{}"),
        ("null", '{"id":null}'),
    ],
)
def test_the_national_id_is_removed_and_its_name_stays(identity: str, stored: str) -> None:
    assert unpack_one(f'{{"id":{identity}}}').decode() == stored


def test_a_value_outside_the_id_stays() -> None:
    assert unpack_one('{"value":1,"x":{"value":2}}') == b'{"value":1,"x":{"value":2}}'


def check_answer(path: Path) -> str:
    """Verify that every record is unchanged except for credentials; return the version."""
    body = path.read_bytes()
    document = json.loads(body)
    info = document["info"]
    page = unpack_page(body, PageRequest(info["seed"], info["page"], len(document["results"])))
    assert (page.api_version, page.rejected) == (info["version"], [])
    for stored, original in zip(page.records, document["results"], strict=True):
        for canary in [original["login"].pop(name) for name in SECRETS] + [original.get("id", {}).pop("value", None)]:
            assert canary is None or len(canary) < 8 or canary.encode() not in stored
        assert stored == json.dumps(original, ensure_ascii=False, separators=(",", ":")).encode()
    return page.api_version


def test_no_credential_of_any_version_leaves_the_client() -> None:
    assert [check_answer(path) for path in sorted(ANSWERS.glob("*.json"))] == ["1.0", "1.1", "1.2", "1.3", "1.4"]


@needs_many_answers
def test_no_credential_of_the_recorded_answers_leaves_the_client() -> None:
    assert {check_answer(path) for path in sorted(MANY_ANSWERS.glob("*.json"))} == {"1.0", "1.1", "1.2", "1.3", "1.4"}


REPEATED = [
    '{"gender":"female","gender":"male"}',
    '{"name":{"first":"A","first":"B"}}',
    '{"login":{"uuid":"x","uuid":"x"}}',
    '{"extra":[{"a":{"b":1.50,"b":1.50}}]}',
    '{"":1,"":1}',
]


@pytest.mark.parametrize("row", REPEATED)
def test_a_repeated_key_remains_repeated_and_the_other_records_of_the_page_are_returned(row: str) -> None:
    records = unpack_page(answer('{"a":1}', row, '{"b":2}'), PageRequest("s", 1, 3)).records
    assert records == [b'{"a":1}', row.encode(), b'{"b":2}']


def test_a_key_that_is_repeated_by_an_escape_is_written_out() -> None:
    assert unpack_one('{"gender":1,"g\\u0065nder":2}') == b'{"gender":1,"gender":2}'


@pytest.mark.parametrize(
    ("row", "stored"),
    [
        ('{"password":"canary","password":"canary"}', '{"password":null,"password":null}'),
        ('{"a":1,"a":2,"Salt":"canary"}', '{"a":1,"a":2,"Salt":null}'),
        ('{"md5":{"canary":1,"canary":2}}', '{"md5":{"repeated":null,"repeated":null}}'),
        ('{"id":{"value":"canary","value":"canary"}}', '{"id":{"repeated":null,"repeated":null}}'),
        ('{"id":"canary","id":"canary"}', '{"id":null,"id":null}'),
    ],
)
def test_a_repeated_key_remains_visible_where_credentials_are_removed(row: str, stored: str) -> None:
    assert unpack_one(row).decode() == stored


def test_a_response_that_repeats_a_key_is_not_the_page() -> None:
    body = answer("{}")[:-1] + b',"results":[]}'
    assert fail_to_unpack(body).reason is FetchFailure.ENVELOPE


def test_no_hidden_secret_leaves_the_client() -> None:
    random = Random(15)
    for number in range(2000):
        hidden = hide_secret(random, f"{number:032x}")
        if hidden.fits_page:
            assert not find_canaries(unpack_one(hidden.value.decode())), hidden


@pytest.mark.parametrize(("spelling", "canonical"), UUID_SPELLINGS.items())
def test_a_uuid_gets_its_canonical_spelling(spelling: str, canonical: str | None) -> None:
    stored = json.loads(unpack_one(json.dumps({"login": {"uuid": spelling}})))
    assert stored["login"]["uuid"] == (canonical or spelling)


def test_filters_compare_codes_regardless_of_ascii_case_only() -> None:
    french = PageRequest("s", 1, 2, nationalities=frozenset({"FR", "GB"}))
    assert len(unpack_page(answer('{"nat":"fr"}', '{"nat":" Gb "}'), french).records) == 2
    assert len(unpack_page(answer('{"nat":"FR"}', '{"nat":"\ufb01"}'), french).records) == 2
    assert fail_to_unpack(answer('{"nat":"FR"}', '{"nat":"fi"}'), french).reason is FetchFailure.MISMATCH
    rows = ('{"gender":"FEMALE"}', '{"gender":" Male"}', '{"gender":"\uff2dale"}')
    records = unpack_page(answer(*rows), PageRequest("s", 1, 3, gender="female")).records
    assert [json.loads(record)["gender"] for record in records] == ["FEMALE", "\uff2dale"]


@pytest.mark.parametrize("name", ["gender", "nat"])
def test_a_record_that_repeats_a_code_is_not_filtered(name: str) -> None:
    row = f'{{"{name}":"male","{name}":"DE"}}'
    request = PageRequest("s", 1, 1, frozenset({"FR"}), "female")
    assert unpack_page(answer(row), request).records == [row.encode()]
