"""The simulator behaves like the API: shapes, quirks and determinism."""

import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from hypothesis import given, settings
from hypothesis import strategies as st

from insights.errors import UserError
from insights.simulator import create_app
from insights.simulator.faults import FaultRates, parse_rates
from insights.simulator.formats import LEGO, VERSIONS, list_nationalities
from insights.simulator.people import FIELDS, Crowd, generate_people
from insights.simulator.query import read_query
from tests.helpers.recorded_answers import ANSWERS, MANY_ANSWERS, needs_many_answers
from tests.helpers.simulator_server import serving


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with serving(create_app()) as address:
        yield address


@pytest.fixture(scope="module")
def api(address: str) -> str:
    return f"{address}/api/"


def generate_rows(
    version: str, count: int, nationality: str | None = None, seed: str = "shape"
) -> list[dict[str, Any]]:
    codes = (nationality,) if nationality else list_nationalities(version)
    return list(generate_people(Crowd(version, seed, 1, codes), count))


def list_shape(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Yield each path in order, with the type of its value."""
    if isinstance(value, dict):
        for name, item in value.items():
            yield from list_shape(item, f"{path}.{name}")
    else:
        yield path, type(value).__name__


def to_pattern(text: object) -> str:
    return re.sub("[A-Z]", "A", re.sub("[0-9]", "9", str(text)))


def read_answers(folder: Path, version: str) -> Iterator[dict[str, Any]]:
    for path in sorted(folder.glob(f"v{version}*.json")):
        yield from json.loads(path.read_text("utf-8"))["results"]


@pytest.mark.parametrize("version", VERSIONS)
def test_the_shape_of_each_version_is_that_of_its_recorded_answer(version: str) -> None:
    recorded = {tuple(list_shape(row)) for row in read_answers(ANSWERS, version)}
    assert recorded <= {tuple(list_shape(row)) for row in generate_rows(version, 500)}


@needs_many_answers
@pytest.mark.parametrize("version", VERSIONS)
def test_every_nationality_has_the_shape_that_the_api_gives_it(version: str) -> None:
    recorded: dict[str, set[tuple[tuple[str, str], ...]]] = {}
    for row in read_answers(MANY_ANSWERS, version):
        if row.keys() == set(FIELDS):
            recorded.setdefault(row["nat"], set()).add(tuple(list_shape(row)))
    assert set(recorded) - {LEGO} == set(list_nationalities(version))
    for nationality, shapes in recorded.items():
        simulated = {tuple(list_shape(row)) for row in generate_rows(version, 50, nationality)}
        assert simulated == shapes, nationality


@needs_many_answers
@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    "field", [("phone",), ("cell",), ("id", "name"), ("id", "value"), ("location", "postcode"), ("dob",)]
)
def test_numbers_have_the_formats_of_the_api(version: str, field: tuple[str, ...]) -> None:
    def read(row: Any) -> str:
        for name in field:
            row = row[name]
        return to_pattern(row["date"] if isinstance(row, dict) else row)

    simulated = {
        code: {read(row) for row in generate_rows(version, 300, code)} for code in (*list_nationalities(version), LEGO)
    }
    recorded = [row for row in read_answers(MANY_ANSWERS, version) if row.keys() == set(FIELDS)]
    unexpected = [(row["nat"], read(row)) for row in recorded if read(row) not in simulated[row["nat"]]]
    assert len(unexpected) <= len(recorded) * 0.02, unexpected


@pytest.mark.parametrize("version", VERSIONS)
def test_every_nationality_of_a_version_can_be_requested_alone_or_with_all_others(version: str) -> None:
    for nationality in list_nationalities(version):
        assert {row["nat"] for row in generate_rows(version, 20, nationality)} == {nationality}
    assert {row["nat"] for row in generate_rows(version, 2000)} == set(list_nationalities(version))


def test_the_nationalities_are_those_of_the_api() -> None:
    assert " ".join(list_nationalities("1.4")) == "AU BR CA CH DE DK ES FI FR GB IE IN IR MX NL NO NZ RS TR UA US"
    assert set(list_nationalities("1.4")) - set(list_nationalities("1.3")) == {"IN", "MX", "RS", "UA"}
    assert set(list_nationalities("1.2")) - set(list_nationalities("1.1")) == {"NO"}


@pytest.mark.parametrize("version", ["1.0", "1.1", "1.2"])
def test_old_versions_have_names_in_lower_case(version: str) -> None:
    for row in generate_rows(version, 300):
        for text in (*row["name"].values(), row["location"]["city"], row["location"]["street"], row["email"]):
            assert text == text.lower()


def test_email_addresses_are_transliterated_since_1_3_and_not_before() -> None:
    assert all(re.fullmatch(r"[a-z0-9-]+\.[a-z0-9-]+@example\.com", row["email"]) for row in generate_rows("1.4", 3000))
    assert any(not row["email"].isascii() for row in generate_rows("1.2", 100, "IR"))


def test_iranian_names_are_in_persian_script() -> None:
    for row in generate_rows("1.4", 50, "IR"):
        assert re.search("[\u0600-\u06ff]", row["name"]["first"] + row["location"]["city"])


def test_norwegian_streets_end_with_the_number_before_1_3() -> None:
    assert all(re.fullmatch(r"\D+ \d+", row["location"]["street"]) for row in generate_rows("1.2", 30, "NO"))
    assert all(re.fullmatch(r"\d+ .+", row["location"]["street"]) for row in generate_rows("1.2", 30, "DE"))


def test_identity_numbers_contain_the_birth_date_if_those_of_the_api_do() -> None:
    for row in generate_rows("1.4", 30, "DK"):
        year, month, day = row["dob"]["date"][:10].split("-")
        assert row["id"]["value"].startswith(day + month + year[2:] + "-")
    for row in generate_rows("1.4", 30, "FR"):
        year, month, _ = row["dob"]["date"][:10].split("-")
        assert row["id"]["value"].startswith(f"{1 if row['gender'] == 'male' else 2}{year[2:]}{month}")


def test_titles_and_portraits_follow_the_gender() -> None:
    for row in generate_rows("1.4", 1000):
        male = row["gender"] == "male"
        assert (row["name"]["title"] in ("Mr", "Monsieur")) == male
        assert ("/men/" in row["picture"]["large"]) == male


def test_ages_are_whole_years_on_the_reference_date() -> None:
    for row in generate_rows("1.4", 1000):
        for field in ("dob", "registered"):
            born, age = row[field]["date"][:10], row[field]["age"]
            assert f"{2026 - age - 1}-07-01" < born <= f"{2026 - age}-07-01"


@given(
    version=st.sampled_from(VERSIONS),
    seed=st.text(max_size=20),
    page=st.integers(1, 10_000),
    few=st.integers(0, 20),
    more=st.integers(0, 20),
)
@settings(max_examples=50, deadline=None)
def test_the_first_people_of_a_page_are_the_same_however_many_are_requested(
    version: str, seed: str, page: int, few: int, more: int
) -> None:
    crowd = Crowd(version, seed, page, list_nationalities(version))
    assert list(generate_people(crowd, few + more))[:few] == list(generate_people(crowd, few))


def test_nobody_is_on_two_pages_or_under_two_seeds() -> None:
    uuids = Counter(
        row["login"]["uuid"]
        for seed in ("a", "b", "a1")
        for page in (1, 2, 11)
        for row in generate_people(Crowd("1.4", seed, page, ("US",)), 500)
    )
    assert len(uuids) == 4500
    assert all(re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", u) for u in uuids)


@pytest.mark.parametrize("other", [("b", 1), ("a", 2)])
def test_another_seed_or_page_has_other_names(other: tuple[str, int]) -> None:
    def names(seed: str, page: int) -> list[Any]:
        return [row["name"] for row in generate_people(Crowd("1.4", seed, page, ("US",)), 50)]

    assert names(*other) != names("a", 1)


def test_a_person_keeps_the_uuid_in_every_version() -> None:
    by_version = [[row["login"]["uuid"] for row in generate_rows(version, 20)] for version in ("1.2", "1.3", "1.4")]
    assert by_version[0] == by_version[1] == by_version[2]


PAGE = {"seed": "same", "page": "2", "results": "30"}


@pytest.mark.parametrize("version", VERSIONS)
def test_the_same_request_gets_the_same_bytes(api: str, version: str) -> None:
    first, again = (requests.get(f"{api}{version}/", PAGE, timeout=10) for _ in range(2))
    assert first.content == again.content
    assert first.json()["info"] == {"seed": "same", "results": 30, "page": 2, "version": version}
    assert len(first.json()["results"]) == 30


@pytest.mark.parametrize("change", [{"seed": "x"}, {"page": "3"}, {"nat": "us"}, {"inc": "login"}, {"exc": "nat"}])
def test_another_request_gets_another_response(api: str, change: dict[str, str]) -> None:
    assert requests.get(api, PAGE, timeout=10).json() != requests.get(api, PAGE | change, timeout=10).json()


@pytest.mark.parametrize("path", ["", "1.4", "1.4/"])
def test_the_default_version_is_the_latest(api: str, path: str) -> None:
    assert requests.get(api + path, PAGE, timeout=10).json()["info"]["version"] == "1.4"


@pytest.mark.parametrize("results", ["5001", "10000", "-1", "many", ""])
def test_an_invalid_number_of_rows_gives_one_row(api: str, results: str) -> None:
    answer = requests.get(api, {"results": results, "seed": "s"}, timeout=10).json()
    assert (len(answer["results"]), answer["info"]["results"]) == (1, 1)


def test_the_maximum_number_of_rows_is_returned(api: str) -> None:
    assert len(requests.get(api, {"results": "5000", "seed": "s"}, timeout=20).json()["results"]) == 5000


@pytest.mark.parametrize("page", ["0", "-3", "10001", "x"])
def test_a_page_out_of_range_is_the_first(page: str) -> None:
    assert read_query("1.4", {"page": page}).crowd.page == 1


def test_nationalities_are_a_list_that_is_ignored_if_one_is_unknown() -> None:
    assert read_query("1.4", {"nat": "us,FR"}).crowd.nationalities == ("US", "FR")
    assert read_query("1.4", {"nat": "us,xx"}).crowd.nationalities == list_nationalities("1.4")
    assert read_query("1.0", {"nat": "in"}).crowd.nationalities == list_nationalities("1.0")
    assert read_query("1.4", {"nationality": "us"}).crowd.nationalities == ("US",)


def test_gender_is_respected_without_a_seed_and_ignored_with_one() -> None:
    assert read_query("1.4", {"gender": "female"}).crowd.gender == "female"
    assert read_query("1.4", {"gender": "female", "seed": "s"}).crowd.gender == ""
    assert read_query("1.4", {"gender": "other"}).crowd.gender == ""
    assert {row["gender"] for row in generate_people(Crowd("1.4", "s", 1, ("US",), "female"), 50)} == {"female"}


def test_a_seed_of_eighteen_characters_selects_a_nationality() -> None:
    query = read_query("1.4", {"seed": "0123456789abcdef04"})
    assert query.crowd.nationalities == ("DE",)
    assert query.seed == "0123456789abcdef0404"
    assert read_query("1.4", {"seed": "0123456789abcdefzz"}).crowd.nationalities == list_nationalities("1.4")


def test_lego_figures_have_no_country_and_change_the_seed_in_the_response(api: str) -> None:
    answer = requests.get(api, {"lego": "", "seed": "lego", "results": "5"}, timeout=10).json()
    assert answer["info"]["seed"] == "lego-1"
    for row in answer["results"]:
        assert (row["nat"], "country" in row["location"], "/lego/" in row["picture"]["large"]) == ("LEGO", False, True)


def test_a_request_without_a_seed_gets_a_new_seed() -> None:
    first, other = read_query("1.4", {}).seed, read_query("1.4", {}).seed
    assert re.fullmatch("[0-9a-f]{16}", first)
    assert first != other


@pytest.mark.parametrize(
    ("parameters", "fields"),
    [
        ({"inc": "login, NAT"}, ["login", "nat"]),
        ({"exc": "picture,login,id,email,location,name,cell,phone"}, ["gender", "dob", "registered", "nat"]),
        ({"inc": "nat,email", "exc": "email"}, ["nat"]),
        ({"inc": "unknown"}, []),
    ],
)
def test_fields_are_included_and_excluded(api: str, parameters: dict[str, str], fields: list[str]) -> None:
    [row] = requests.get(api, {"seed": "s", **parameters}, timeout=10).json()["results"]
    assert list(row) == fields


def test_the_info_block_can_be_omitted(api: str) -> None:
    assert requests.get(api, {"noinfo": ""}, timeout=10).json().keys() == {"results"}


@pytest.mark.parametrize(
    ("path", "status", "message"),
    [
        ("2.0/", 404, "The version '2.0' does not exist"),
        ("?format=csv", 400, "only JSON"),
        ("?fmt=xml", 400, "only JSON"),
        ("?fault=meteor", 400, "The fault 'meteor' does not exist"),
    ],
)
def test_an_invalid_request_gets_an_error_message(api: str, path: str, status: int, message: str) -> None:
    answer = requests.get(api + path, timeout=10)
    assert (answer.status_code, list(answer.json())) == (status, ["error"])
    assert message in answer.json()["error"]


def test_a_request_selects_its_fault_by_parameter_or_header(api: str) -> None:
    assert requests.get(api, {"fault": "503"}, timeout=10).status_code == 503
    assert requests.get(api, headers={"X-Fault": "500"}, timeout=10).status_code == 500
    assert "Retry-After" not in requests.get(api, {"fault": "429-bare"}, timeout=10).headers
    assert requests.get(api, {"fault": "429"}, timeout=10).headers["Retry-After"] == "1"


def test_the_server_reports_that_it_is_healthy(address: str) -> None:
    assert requests.get(f"{address}/healthz", timeout=10).json() == {"status": "ok", "recorded": None}


@pytest.mark.parametrize("text", ["429=nan", "429=-0.1", "429=0.6,503=0.6"])
def test_rates_that_are_not_probabilities_are_an_error(text: str) -> None:
    with pytest.raises(UserError, match="must not be negative or add up to more than 1"):
        FaultRates(parse_rates(text))
