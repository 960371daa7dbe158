"""The legs' own logic, without servers: latencies, the steps of a batch, rows for COPY, and the peers' messages."""

import json
import time
from datetime import UTC, datetime
from functools import partial
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pandas as pd
import pytest

from benchmarks import growth, latency, publish
from benchmarks.common import flow, open_loop
from benchmarks.common.population import Chunk
from benchmarks.common.rounds import Turn, compute_percentile, take_turns
from benchmarks.peers import debezium_source, simple_rules, spark_chain
from insights.errors import UserError
from insights.model.schema import ACCEPTED_FIELDS, USER_FIELDS
from insights.simulator.formats import list_nationalities
from insights.simulator.people import Crowd, generate_people

IDS = [UUID(int=number) for number in range(3)]
METRICS = """\
insights_stream_records_total{verdict="accepted"} 20.0
insights_stream_records_total{verdict="rejected"} 1.0
insights_stream_last_batch_id 4.0
insights_stream_stage_seconds{stage="postgres"} 0.25
"""


class Polls(list[list[UUID]]):
    """The records of each poll, another of which is readable after each."""

    def execute(self, _session: object, _query: str, keys: list[tuple[int, UUID]]) -> list[tuple[bool, list[Any]]]:
        self.append([record for _, record in keys])
        readable = keys[:1] if len(self) > 1 else []
        return [(True, [SimpleNamespace(user_id=key[1])] if key in readable else []) for key in keys]


def test_a_record_is_polled_for_until_it_is_readable(monkeypatch):
    polls = Polls()
    monkeypatch.setattr(open_loop, "execute_concurrent_with_args", polls.execute)
    monkeypatch.setattr(open_loop, "POLL_SECONDS", 0)
    loop = SimpleNamespace(ended=True, committed=dict.fromkeys(IDS, time.monotonic() - 10), error=None)
    seconds = open_loop.watch(loop, SimpleNamespace(prepare=str))  # type: ignore[arg-type]
    assert polls == [IDS, IDS, IDS[1:], IDS[2:]]
    assert set(seconds) == set(IDS)
    assert min(seconds.values()) >= 10


def test_a_record_that_never_becomes_readable_ends_the_benchmark(monkeypatch):
    monkeypatch.setattr(open_loop, "POLL_SECONDS", 0)
    monkeypatch.setattr(open_loop, "PATIENCE_SECONDS", 0.01)
    monkeypatch.setattr(open_loop, "execute_concurrent_with_args", lambda *_: [])
    loop = SimpleNamespace(ended=True, committed=dict.fromkeys(IDS, 0.0), error=None)
    with pytest.raises(RuntimeError, match="3 records were not readable"):
        open_loop.watch(loop, SimpleNamespace(prepare=str))  # type: ignore[arg-type]


def test_the_metrics_of_the_stream_are_read_by_name_and_label(monkeypatch):
    monkeypatch.setattr(flow, "urlopen", lambda *_, **__: _Answer(METRICS))
    assert flow.read_metrics("http://stream")["stage_seconds", "postgres"] == 0.25
    assert flow.read_metrics("http://stream")["last_batch_id", ""] == 4
    assert flow.count_delivered("http://stream") == 21


class _Answer:
    def __init__(self, text: str) -> None:
        self._text = text

    def __enter__(self):
        return self

    def __exit__(self, *_: object) -> None: ...

    def read(self) -> bytes:
        return self._text.encode()


def test_the_steps_of_the_rounds_are_listed_with_the_longest_first():
    turns = latency.list_steps([{"mark": 0.1, "addBatch": 2.0}, {"addBatch": 3.0}])
    assert list(turns) == ["`addBatch`", "`mark`"]
    assert [turn.figures["Seconds"] for turn in turns["`addBatch`"]] == [2.0, 3.0]


def test_every_contender_has_a_turn_in_each_round_with_the_rounds_number(capsys):
    calls: list[tuple[str, int]] = []

    def contend(name: str, number: int) -> Turn:
        calls.append((name, number))
        return Turn(1.0, {})

    turns = take_turns({name: partial(contend, name) for name in "ab"}, 2, first=5)
    assert calls == [("a", 5), ("b", 5), ("b", 6), ("a", 6)]
    assert {name: len(rounds) for name, rounds in turns.items()} == {"a": 2, "b": 2}
    assert "round 2 of 2, a" in capsys.readouterr().err


def test_percentiles_are_those_of_the_nearest_rank():
    assert [compute_percentile(list(range(1, 101)), part) for part in (50, 95, 99, 100)] == [50, 95, 99, 100]
    assert compute_percentile([7.0], 50) == 7.0


def test_rows_for_copy_escape_backslashes(monkeypatch):
    record = json.dumps({"login": {"uuid": str(IDS[1])}, "city": 'a"\\b'}).encode()
    backlog = publish.Backlog("http://127.0.0.1:1/", 1)
    monkeypatch.setattr(backlog, "fetch", lambda _: [SimpleNamespace(records=[record])])
    key, _, text = backlog.format(0).rstrip(b"\n").partition(b"\t")
    assert key.decode() == str(IDS[1])
    assert text == record.replace(b"\\", b"\\\\")


@pytest.mark.parametrize(
    "event",
    [
        {"user_key": "u", "payload": "{}"},
        {"before": None, "after": {"user_key": "u", "payload": "{}"}, "op": "c"},
        {"schema": {}, "payload": {"after": {"user_key": "u", "payload": "{}"}}},
    ],
)
def test_a_change_event_is_decoded_in_each_of_its_forms(event):
    message = SimpleNamespace(value=lambda: json.dumps(event).encode())
    assert debezium_source.decode(message) == ("u", b"{}")


def test_generated_users_are_complete_accepted_messages():
    users = Chunk(0, 100).accepted()
    assert tuple(users.column_names) == ACCEPTED_FIELDS
    assert Chunk(0, 40).accepted() == users.slice(0, 40)
    assert len(set(users["user_id"].to_pylist())) == 100
    assert users["origin"].to_pylist()[:2] == ["generated/0/0", "generated/0/1"]


def test_the_peers_derive_fields_of_the_user_only():
    named = {text.rpartition(" AS ")[2] for text in spark_chain.RAW} | {*spark_chain.DERIVED, *spark_chain.FROM_DERIVED}
    of_countries = {"country", "continent", "sub_region"}
    assert named - {"timezone_offset"} | of_countries == set(USER_FIELDS)
    assert set(simple_rules.FIELDS) < set(USER_FIELDS)


def test_both_simplified_rules_derive_the_same_fields_of_a_user():
    crowd = Crowd("1.4", "seed", 1, tuple(list_nationalities("1.4")))
    records = [json.dumps(record).encode() for record in generate_people(crowd, 60)]
    fetched = datetime(2026, 11, 1, tzinfo=UTC)
    rows = [simple_rules.clean_row(record, n, str(n), fetched) for n, record in enumerate(records)]
    numbers = pd.Series(range(len(records)))
    frame = simple_rules.clean_rows(records, numbers, numbers.astype(str), fetched)
    exact = [name for name in simple_rules.FIELDS if name != "distance_km"]
    by_row = pd.DataFrame(rows, columns=list(simple_rules.FIELDS))
    pd.testing.assert_frame_equal(by_row[exact], frame[exact], check_dtype=False)
    assert simple_rules.clean_row(b"{", 0, "0", fetched) is None


def test_growth_refuses_sizes_that_its_rounds_exceed() -> None:
    with pytest.raises(UserError, match=r"^10,000 users pass through the chain at each size: make --sizes begin"):
        growth.main(["--sizes", "9000", "20000", "--records", "5000", "--rounds", "1"])
