"""The client against the simulator over a real socket: each fault and its effect."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from insights.simulator import Fault, create_app, faults
from insights.source import RETRYABLE, FetchedPage, FetchFailure, SourceClient, SourceError, derive_seed
from tests.helpers.simulator_server import Script, Time, serving, settings

SEED = "5eed000000000000"


class Faulty:
    """One server for all tests, with a script of faults for each test."""

    def __init__(self) -> None:
        self.script = Script()
        self.address = ""

    def draw(self) -> Fault | None:
        return self.script()

    def fetch(self, script: Script, time: Time | None = None, results: int = 20, **changes: Any) -> FetchedPage:
        self.script = script
        time = time or Time()
        with SourceClient(settings(self.address, **changes), clock=time.clock, sleep=time.sleep) as client:
            return client.fetch_page(SEED, 1, results)

    def fails(self, script: Script, time: Time | None = None, **changes: Any) -> SourceError:
        with pytest.raises(SourceError) as caught:
            self.fetch(script, time, **changes)
        return caught.value


@pytest.fixture(scope="module")
def server() -> Iterator[Faulty]:
    faulty = Faulty()
    with serving(create_app(draw_fault=faulty.draw)) as faulty.address:
        yield faulty


@pytest.fixture
def faulty(server: Faulty) -> Faulty:
    server.script = Script()
    return server


@pytest.fixture
def address(faulty: Faulty) -> str:
    return faulty.address


@pytest.mark.parametrize("results", [1, 20])
def test_a_page_has_the_requested_rows_and_names_its_origin(address: str, results: int) -> None:
    now = datetime(2026, 5, 4, 3, 2, 1, 987654, UTC)
    with SourceClient(settings(address), now=lambda: now) as client:
        page = client.fetch_page(SEED, 3, results)
    assert (page.seed, page.page, page.api_version, len(page.records)) == (SEED, 3, "1.4", results)
    assert page.fetched_at == now.replace(microsecond=987000)
    assert page.body_bytes > sum(map(len, page.records))
    assert len(page.body_sha256) == 64


def test_fetching_a_page_again_gives_the_same_page(address: str) -> None:
    with SourceClient(settings(address)) as client:
        first, again = (client.fetch_page(SEED, 2, 50) for _ in range(2))
    assert (first.body_sha256, first.records) == (again.body_sha256, again.records)


def test_consecutive_pages_have_the_configured_page_size(address: str) -> None:
    with SourceClient(settings(address, page_size=7)) as client:
        pages = [client.fetch_page(SEED, page) for page in range(1, 4)]
    assert [(page.page, len(page.records)) for page in pages] == [(1, 7), (2, 7), (3, 7)]
    uuids = {json.loads(record)["login"]["uuid"] for page in pages for record in page.records}
    assert len(uuids) == 21


@pytest.mark.parametrize("version", ["1.0", "1.1", "1.2", "1.3", "1.4"])
def test_every_version_is_fetched_without_credentials(address: str, version: str) -> None:
    with SourceClient(settings(address, version)) as client:
        page = client.fetch_page(SEED, 1, 50)
    assert page.api_version == version
    for record in map(json.loads, page.records):
        assert record["login"].keys() == {"username"} | ({"uuid"} if version >= "1.2" else set())
        assert record["id"].keys() == {"name"}


def test_nationalities_and_fields_are_passed_on(address: str) -> None:
    with SourceClient(settings(address, nationalities="fr, de", include="login,nat,email", exclude="email")) as client:
        page = client.fetch_page(SEED, 1, 60)
    records = [json.loads(record) for record in page.records]
    assert {record["nat"] for record in records} == {"FR", "DE"}
    assert all(record.keys() == {"login", "nat"} for record in records)


def test_a_gender_is_selected_although_the_api_ignores_it_if_there_is_a_seed(address: str) -> None:
    with SourceClient(settings(address, gender="Female")) as client:
        women_only = client.fetch_page(SEED, 1, 100)
    with SourceClient(settings(address)) as client:
        everybody = client.fetch_page(SEED, 1, 100)
    women = [record for record in everybody.records if json.loads(record)["gender"] == "female"]
    assert 0 < len(women) < 100
    assert women_only.records == women


def test_an_unknown_nationality_fails_although_the_api_returns_all_nationalities(address: str) -> None:
    with (
        SourceClient(settings(address, nationalities="FR,XX")) as client,
        pytest.raises(SourceError, match="requested nationalities FR, XX and received") as caught,
    ):
        client.fetch_page(SEED, 1, 100)
    assert caught.value.reason is FetchFailure.MISMATCH


TEMPORARY = {
    Fault.RATE_LIMITED: FetchFailure.RATE_LIMITED,
    Fault.RATE_LIMITED_DATE: FetchFailure.RATE_LIMITED,
    Fault.RATE_LIMITED_BARE: FetchFailure.RATE_LIMITED,
    Fault.INTERNAL: FetchFailure.SERVER_ERROR,
    Fault.UNAVAILABLE: FetchFailure.SERVER_ERROR,
    Fault.EMPTY: FetchFailure.EMPTY,
    Fault.SHORT: FetchFailure.SHORT,
    Fault.TRUNCATED: FetchFailure.TRUNCATED,
    Fault.LENGTH: FetchFailure.TRUNCATED,
    Fault.HTML: FetchFailure.NOT_JSON,
    Fault.ERROR: FetchFailure.API_ERROR,
}
"""Faults that are retried, with the reason of the failure if they persist."""
OTHERS = {Fault.DRIP, Fault.DRIFT, Fault.BOMB}


def test_every_fault_has_a_test() -> None:
    assert TEMPORARY.keys() | OTHERS == set(Fault)


@pytest.mark.parametrize("fault", TEMPORARY)
def test_a_temporary_fault_costs_one_more_request(faulty: Faulty, fault: Fault) -> None:
    script, time = Script([fault]), Time()
    page = faulty.fetch(script, time)
    assert (len(page.records), script.requests, len(time.slept)) == (20, 2, 1)


@pytest.mark.parametrize(("fault", "reason"), TEMPORARY.items())
def test_a_persistent_fault_fails_after_the_allowed_attempts(
    faulty: Faulty, fault: Fault, reason: FetchFailure
) -> None:
    script = Script(forever=fault)
    error = faulty.fails(script, max_attempts=3)
    attempts = 2 if reason is FetchFailure.RATE_LIMITED else 3
    assert (error.reason, script.requests, error.retryable) == (reason, attempts, True)
    assert f"page 1 of seed '{SEED}' from http://127.0.0.1" in error.detail
    assert f"attempt {attempts}" in error.detail


def test_a_series_of_different_faults_is_survived(faulty: Faulty) -> None:
    script = Script([Fault.UNAVAILABLE, Fault.EMPTY, Fault.TRUNCATED, Fault.HTML, Fault.RATE_LIMITED])
    assert len(faulty.fetch(script, max_attempts=6).records) == 20
    assert script.requests == 6


@pytest.mark.parametrize("fault", [Fault.RATE_LIMITED, Fault.RATE_LIMITED_DATE])
def test_retry_after_is_obeyed_in_both_forms(faulty: Faulty, fault: Fault, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("insights.simulator.responses.RETRY_AFTER_SECONDS", 90)
    time = Time()
    faulty.fetch(Script([fault]), time)
    assert 89 <= time.slept[0] <= 92


def test_a_retry_after_beyond_the_deadline_fails_immediately(faulty: Faulty, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("insights.simulator.responses.RETRY_AFTER_SECONDS", 3600)
    script, time = Script(forever=Fault.RATE_LIMITED), Time()
    error = faulty.fails(script, time)
    assert (error.reason, script.requests, time.slept) == (FetchFailure.RATE_LIMITED, 1, [])
    assert "Retry-After: 3600 s" in error.detail


def test_all_attempts_and_pauses_end_with_the_deadline(faulty: Faulty) -> None:
    script, time = Script(forever=Fault.UNAVAILABLE), Time()
    error = faulty.fails(script, time, max_attempts=1000, deadline_seconds=60)
    assert error.reason is FetchFailure.SERVER_ERROR
    assert 20 < time.clock() < 60
    assert script.requests == len(time.slept) + 1


def test_pauses_grow_and_are_not_all_the_same(faulty: Faulty) -> None:
    time = Time()
    faulty.fails(Script(forever=Fault.UNAVAILABLE), time, max_attempts=40, deadline_seconds=10_000)
    assert max(time.slept[:2]) <= 2
    assert max(time.slept) > 4
    assert len(set(time.slept)) == 39


def test_a_response_that_drips_ends_with_the_deadline(faulty: Faulty) -> None:
    script = faulty.script = Script(forever=Fault.DRIP)
    with (
        SourceClient(settings(faulty.address, deadline_seconds=0.4)) as client,
        pytest.raises(SourceError) as caught,
    ):
        client.fetch_page(SEED, 1, 100)
    assert (caught.value.reason, script.requests) == (FetchFailure.DEADLINE, 1)
    assert caught.value.retryable


def test_a_response_that_drips_within_the_deadline_is_accepted(faulty: Faulty) -> None:
    faulty.script = Script(forever=Fault.DRIP)
    with SourceClient(settings(faulty.address, deadline_seconds=30)) as client:
        assert len(client.fetch_page(SEED, 1, 1).records) == 1


def test_a_gzip_bomb_fails_at_the_limit_and_is_not_retried(faulty: Faulty) -> None:
    script = Script(forever=Fault.BOMB)
    error = faulty.fails(script, max_bytes=1_000_000)
    assert (error.reason, script.requests) == (FetchFailure.TOO_LARGE, 1)


def test_a_body_over_the_limit_fails(faulty: Faulty) -> None:
    assert faulty.fails(Script(), max_bytes=5000).reason is FetchFailure.TOO_LARGE


def test_drifted_records_pass_unchanged_except_for_credentials(faulty: Faulty) -> None:
    page = faulty.fetch(Script(forever=Fault.DRIFT), results=40)
    drifted = [json.loads(page.records[position]) for position in (0, 10, 20, 30)]
    assert drifted[0]["account"].keys() == {"uuid", "username"}
    assert drifted[1]["contact"].keys() == {"email", "phone"}
    assert isinstance(drifted[2]["dob"], list)
    assert isinstance(drifted[3]["location"], str)
    for secret in (b'"password"', b'"salt"', b'"md5"', b'"sha1"', b'"sha256"', b'"value"'):
        assert not any(secret in record for record in page.records)


def test_a_refused_request_is_not_retried(address: str) -> None:
    time = Time()
    with (
        SourceClient(settings(address, version="9.9"), clock=time.clock, sleep=time.sleep) as client,
        pytest.raises(SourceError, match="HTTP 404") as caught,
    ):
        client.fetch_page(SEED, 1, 1)
    assert (caught.value.reason, time.slept) == (FetchFailure.REFUSED, [])


@pytest.mark.parametrize(
    ("seed", "page", "results"),
    [("", 1, 1), ("x" * 18, 1, 1), ("x", 0, 1), ("x", 10_001, 1), ("x", 1, 0), ("x", 1, 5001)],
)
def test_a_request_that_the_api_would_answer_with_other_rows_is_an_error(seed: str, page: int, results: int) -> None:
    with SourceClient(settings("http://127.0.0.1:1")) as client, pytest.raises(ValueError):
        client.fetch_page(seed, page, results)


def test_only_temporary_failures_are_retried() -> None:
    assert {reason for reason in FetchFailure if reason not in RETRYABLE} == {
        FetchFailure.REFUSED,
        FetchFailure.TLS,
        FetchFailure.TOO_LARGE,
        FetchFailure.TOO_DEEP,
        FetchFailure.ENVELOPE,
        FetchFailure.MISMATCH,
    }


def test_a_batch_id_differs_between_requests_for_different_records() -> None:
    def name(results: int | None = None, **changes: Any) -> str:
        with SourceClient(settings("http://127.0.0.1:1", **changes)) as client:
            return client.name_batch(SEED, 3, results)

    assert name() == name(1000) == f"{SEED}/3?results=1000"
    assert name(page_size=7) == name(7) == f"{SEED}/3?results=7"
    assert (
        name(nationalities="us, DE", gender="Male", include="login,nat,login", exclude="nat")
        == name(nationalities="DE,US", gender="male", include="nat, login", exclude="nat")
        == f"{SEED}/3?results=1000&nat=DE,US&gender=male&inc=login,nat&exc=nat"
    )
    long = [name(include="x" * 600 + suffix) for suffix in ("y", "z")]
    assert len(set(long)) == 2
    assert max(map(len, long)) < 100


def test_a_page_has_the_batch_id_of_its_request(address: str) -> None:
    with SourceClient(settings(address, nationalities="fr")) as client:
        assert client.fetch_page(SEED, 2, 5).batch_id == client.name_batch(SEED, 2, 5)


def test_a_seed_belongs_to_one_dag_and_one_instant() -> None:
    day = datetime(2026, 1, 2, tzinfo=UTC)
    seed = derive_seed("ingest_users", day)
    assert seed == derive_seed("ingest_users", day.astimezone(timezone(timedelta(hours=5))))
    assert len({seed, derive_seed("other", day), derive_seed("ingest_users", day + timedelta(microseconds=1))}) == 3
    assert len(seed) == 16


def test_a_logical_date_without_a_time_zone_is_an_error() -> None:
    with pytest.raises(ValueError, match="time zone"):
        derive_seed("ingest_users", datetime(2026, 1, 2))  # noqa: DTZ001


def test_rates_draw_the_same_faults_for_the_same_seed() -> None:
    rates = {Fault.UNAVAILABLE: 0.3, Fault.EMPTY: 0.1}
    first, again, other = (faults.FaultRates(rates, seed) for seed in (1, 1, 2))
    drawn = [first() for _ in range(1000)]
    assert drawn == [again() for _ in range(1000)]
    assert drawn != [other() for _ in range(1000)]
    assert 250 < drawn.count(Fault.UNAVAILABLE) < 350
    assert 60 < drawn.count(Fault.EMPTY) < 140


def test_credentials_in_the_url_stay_out_of_the_error() -> None:
    time = Time()
    unreachable = settings("http://someone:secret@127.0.0.1:1")
    with SourceClient(unreachable, clock=time.clock, sleep=time.sleep) as client, pytest.raises(SourceError) as caught:
        client.fetch_page(SEED, 1, 1)
    assert "http://127.0.0.1:1/api/1.4/" in str(caught.value)
    assert "secret" not in str(caught.value)
