"""Serving recorded responses, and the command line."""

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import requests

from insights.errors import UserError
from insights.simulator import FaultRates, create_app
from insights.simulator.faults import Fault, parse_rates
from insights.simulator.recorded import load_recording
from insights.simulator.server import bind
from insights.source import SourceClient
from insights.source.envelope import PageRequest, unpack_page
from tests.helpers.recorded_answers import ANSWERS, MANY_ANSWERS, needs_many_answers
from tests.helpers.simulator_server import Script, serving, settings
from tests.helpers.support import eventually

SPACED = """{"info": {"seed": "x", "results": 2, "page": 4, "version": "1.4"},
 "results" : [ {"a": 1.10} ,
{"b":"\\u00e9"} ]}"""


def read_all_records(folder: Path) -> list[bytes]:
    """Return every record in the folder as the client stores it, in the order of the files."""
    records = []
    for path in sorted(folder.glob("*.json")):
        body = path.read_bytes()
        document = json.loads(body)
        info = document["info"]
        records += unpack_page(body, PageRequest(info["seed"], info["page"], len(document["results"]))).records
    return records


def fetch_all(folder: Path, size: int) -> list[bytes]:
    recording = load_recording(folder)
    with serving(create_app(recording)) as address, SourceClient(settings(address, page_size=size)) as client:
        pages = [client.fetch_page("walk", page) for page in range(1, -(-len(recording.rows) // size) + 1)]
        return [record for page in pages for record in page.records]


@pytest.mark.parametrize("size", [1, 4, 5, 15, 40])
def test_pages_contain_all_records_in_order_and_the_last_page_is_filled_from_the_start(size: int) -> None:
    records = read_all_records(ANSWERS)
    fetched = fetch_all(ANSWERS, size)
    assert len(records) == 15
    assert fetched == (records * 3)[: -(-15 // size) * size]


@needs_many_answers
def test_all_recorded_answers_of_the_api_are_fetched() -> None:
    assert Counter(fetch_all(MANY_ANSWERS, 25)) == Counter(read_all_records(MANY_ANSWERS))


def test_the_request_of_a_recorded_answer_gets_the_same_bytes() -> None:
    with serving(create_app(load_recording(ANSWERS))) as address:
        parameters = {"seed": "tiny", "page": 1, "results": 3}
        for version in ("1.0", "1.4"):
            answer = requests.get(f"{address}/api/{version}/", parameters, timeout=10)
            assert answer.content == (ANSWERS / f"v{version}.json").read_bytes()


def test_records_keep_their_text_and_the_info_block_describes_the_request(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(SPACED)
    with serving(create_app(load_recording(tmp_path))) as address:
        answer = requests.get(f"{address}/api/1.3/", {"seed": "mine", "results": 3}, timeout=10)
    assert answer.text == (
        '{"results":[{"a": 1.10},{"b":"\\u00e9"},{"a": 1.10}],'
        '"info":{"seed":"mine","results":3,"page":1,"version":"1.3"}}'
    )


@pytest.mark.parametrize(
    ("parameters", "status", "message"),
    [
        ({"nat": "us"}, 400, "cannot be filtered"),
        ({"gender": "male"}, 400, "cannot be filtered"),
        ({"inc": "login"}, 400, "cannot be filtered"),
    ],
)
def test_a_filter_on_recorded_answers_is_an_error(parameters: dict[str, Any], status: int, message: str) -> None:
    with serving(create_app(load_recording(ANSWERS))) as address:
        answer = requests.get(f"{address}/api/", parameters, timeout=10)
    assert answer.status_code == status
    assert message in answer.json()["error"]


def test_the_first_record_follows_the_last() -> None:
    with serving(create_app(load_recording(ANSWERS))) as address:
        first, fourth = (
            requests.get(f"{address}/api/", {"page": page, "results": 5}, timeout=10).json()["results"]
            for page in (1, 4)
        )
    assert fourth == first


def test_recorded_answers_have_faults_on_demand() -> None:
    with serving(create_app(load_recording(ANSWERS), Script([Fault.SHORT, Fault.EMPTY]))) as address:
        counts = [len(requests.get(f"{address}/api/", {"results": 6}, timeout=10).json()["results"]) for _ in range(3)]
        health = requests.get(f"{address}/healthz", timeout=10).json()
    assert counts == [5, 0, 6]
    assert health["recorded"] == 15


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"results":[]}', '{"results":1,"info":{}}', "<html>"])
def test_a_file_that_is_not_an_answer_is_named_in_the_error(tmp_path: Path, text: str) -> None:
    (tmp_path / "broken.json").write_text(text)
    with pytest.raises(UserError, match=r"broken\.json is not a recorded response"):
        load_recording(tmp_path)


def test_a_folder_without_answers_or_records_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"has no \*\.json files"):
        load_recording(tmp_path)
    (tmp_path / "none.json").write_text('{"results":[],"info":{"seed":"x","results":0,"page":1,"version":"1.4"}}')
    with pytest.raises(UserError, match="have no records"):
        load_recording(tmp_path)


@pytest.mark.parametrize("text", ["meteor=0.1", "429", "429=x"])
def test_an_invalid_fault_rate_is_an_error(text: str) -> None:
    with pytest.raises(UserError):
        parse_rates(text)


def test_fault_rates_above_one_are_an_error() -> None:
    assert parse_rates("429=0.5, empty=0.6") == {Fault.RATE_LIMITED: 0.5, Fault.EMPTY: 0.6}
    with pytest.raises(UserError, match="add up to more than 1"):
        FaultRates(parse_rates("429=0.5,empty=0.6"))


def test_a_port_in_use_is_a_readable_error() -> None:
    with bind("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        command = [sys.executable, "-m", "insights.simulator", "--port", str(port)]
        result = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert result.returncode == 2
    assert result.stderr.strip() == (
        f"error: The simulator cannot listen on 127.0.0.1:{port} (Address already in use): use another --port."
    )


def test_the_command_serves_on_a_free_port_and_stops_on_sigterm() -> None:
    command = [sys.executable, "-m", "insights.simulator", "--port", "0", "--recorded", str(ANSWERS)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        address = process.stdout.readline().split()[-1]
        try:
            answer = eventually(lambda: requests.get(address, {"results": 2, "seed": "s"}, timeout=10), 20)
            assert len(answer.json()["results"]) == 2
        finally:
            os.kill(process.pid, signal.SIGTERM)
        assert process.wait(20) in (0, -signal.SIGTERM)
