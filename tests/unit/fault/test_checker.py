"""The checker of the fault tests finds nothing in a correct flow, and every anomaly in a faulty one."""

import copy
import hashlib
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import Any

import pytest

from insights.model.user import User
from insights.simulator.people import Crowd, generate_people
from tests.fault.checker import check, remove_credentials
from tests.fault.flow_state import FlowState, LedgerPage, QuarantineRow, ServedPage, StagedRow
from tests.fault.recording_source import LEVELS, SPOILS, encode, is_stageable, spoil_records
from tests.helpers import dimension_oracle
from tests.helpers.oracle import Message, parse

FETCHED_AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
FETCHED_MS = int(FETCHED_AT.timestamp() * 1000)
PAGE = "seed/1"
TOPIC = "users.raw"
DIMENSIONS = (*dimension_oracle.SINGLE, *dimension_oracle.CROSSED)
TABLES = ("user_profiles_by_id", "user_summaries_by_country", "user_summaries_by_month", "latest_arrivals")


def make_message(row: StagedRow, offset: int, version: int = 0, **fields: Any) -> Message:
    headers = {
        "event_id": row.id,
        "batch_id": row.batch_id,
        "version": str(version or row.version),
        "event_time": str(int(row.event_time.timestamp() * 1000)),
    }
    value = json.dumps(row.payload | fields, ensure_ascii=False).encode()
    encoded = tuple((name, text.encode()) for name, text in headers.items())
    return Message(value, row.user_key.encode(), TOPIC, 0, offset, 0, encoded)


def make_user(message: Message) -> dict[str, Any]:
    user = parse(message)
    assert isinstance(user, User)
    return asdict(user) | {"user_id": str(user.user_id)}


def make_state() -> FlowState:
    """A correct flow: a page with a rejected, a repeated and an unstageable record, and a user of two versions."""
    answer = list(generate_people(Crowd("1.4", "seed", 1, ("DE", "US")), 6))
    records = [*answer[:4], answer[4] | {"gender": "unknown"}, answer[0], SPOILS[0](answer[5])]
    staged = [
        StagedRow(str(n), record["login"]["uuid"], 1000 + n, FETCHED_AT, PAGE, remove_credentials(record))
        for n, record in enumerate(records[:5], 1)
    ]
    state = FlowState(
        served={PAGE: ServedPage(records, "digest")},
        awaited={PAGE},
        pages=[LedgerPage(PAGE, 7, 5, 1, 1, "digest")],
        staged=staged,
        topic=[make_message(row, offset) for offset, row in enumerate(staged)],
        foreign={f"{TOPIC}/0/5"},
    )
    foreign = replace(make_message(staged[0], 5, 9000, nat="NO"), headers=(("version", b"9000"),), timestamp=FETCHED_MS)
    state.topic.append(foreign)
    state.quarantine = [
        QuarantineRow(f"{TOPIC}/0/4", "5", "BAD_GENDER", b"{}", "other"),
        QuarantineRow("staging/6", "6", "SCHEMA", b"{}", hashlib.sha256(encode(records[6])).hexdigest()),
    ]
    state.quarantine_topic = [f"{TOPIC}/0/4"]
    state.users = [make_user(message) for message in (foreign, *state.topic[1:4])]
    state.superseded = [("1", staged[0].user_key)]
    state.cassandra = {table: copy.deepcopy(state.users) for table in TABLES}
    counts = Counter((name, dimension_oracle.value(u, name)) for u in state.users for name in DIMENSIONS)
    state.postgres_counts = {key: count for key, count in counts.items() if key[1] != "None"}
    state.cassandra_counts = dict(state.postgres_counts)
    return state


Damage = Callable[[FlowState], object]


def test_nothing_is_found_in_a_correct_flow() -> None:
    assert check(make_state()) == []


def test_a_repeated_message_and_a_newer_version_of_the_same_event_are_no_anomaly() -> None:
    state = make_state()
    state.topic.append(replace(make_message(state.staged[1], 6)))
    state.topic.append(make_message(state.staged[1], 7, 8000))
    for rows in (state.users, *(state.cassandra[table] for table in TABLES)):
        rows[1] |= {"version": 8000}
    assert check(state) == []


def change(rows: list[Any], index: int, **fields: Any) -> None:
    rows[index] = rows[index] | fields if isinstance(rows[index], dict) else rows[index]._replace(**fields)


def leak(state: FlowState) -> None:
    login = state.served[PAGE].records[0]["login"]
    change(state.quarantine, 0, payload=json.dumps(login).encode())


ANOMALIES: dict[str, tuple[tuple[str, str], Damage]] = {
    "a page that is not staged": (("lost-write", "page"), lambda s: s.awaited.add("seed/2")),
    "a page that was not served": (
        ("phantom", "page"),
        lambda s: s.pages.append(LedgerPage("seed/9", 0, 0, 0, 0, "")),
    ),
    "a page that is recorded twice": (("duplicate", "page"), lambda s: s.pages.append(s.pages[0])),
    "a page with another digest": (("garbled", "page"), lambda s: change(s.pages, 0, sha256="other")),
    "a page with a wrong number": (("garbled", "page"), lambda s: change(s.pages, 0, quarantined=0)),
    "a record that is not staged": (("lost-write", "staging"), lambda s: s.staged.pop()),
    "a row that was not served": (
        ("phantom", "staging"),
        lambda s: s.staged.append(s.staged[0]._replace(id="9", user_key="nobody")),
    ),
    "a user staged twice": (("duplicate", "staging"), lambda s: s.staged.append(s.staged[0]._replace(id="9"))),
    "an id staged twice": (("duplicate", "staging"), lambda s: s.staged.append(s.staged[0])),
    "a changed payload": (("garbled", "staging"), lambda s: change(s.staged, 0, payload={"gender": "x"})),
    "a row that was not published": (("lost-write", "topic"), lambda s: s.topic.pop(1)),
    "a message without a row": (("phantom", "topic"), lambda s: s.foreign.clear()),
    "a message with another value": (
        ("garbled", "topic"),
        lambda s: s.topic.__setitem__(1, make_message(s.staged[1], 1, nat="US")),
    ),
    "a message with another key": (
        ("garbled", "topic"),
        lambda s: s.topic.__setitem__(1, replace(s.topic[1], key=b"other")),
    ),
    "a message older than its row": (
        ("garbled", "topic"),
        lambda s: s.topic.__setitem__(1, make_message(s.staged[1], 1, 5)),
    ),
    "a newer version before the row's own": (
        ("nonmonotonic", "topic"),
        lambda s: s.topic.__setitem__(slice(1, 2), [make_message(s.staged[1], 6, 8000), s.topic[1]]),
    ),
    "a user missing in PostgreSQL": (("lost-write", "postgres"), lambda s: s.users.pop()),
    "a user that nobody sent": (("phantom", "postgres"), lambda s: s.users.append(s.users[0] | {"user_id": "x"})),
    "an older version in PostgreSQL": (("nonmonotonic", "postgres"), lambda s: change(s.users, 0, version=1001)),
    "a version that nobody sent": (("phantom", "postgres"), lambda s: change(s.users, 0, version=7)),
    "a changed field in PostgreSQL": (("garbled", "postgres"), lambda s: change(s.users, 0, city="Atlantis")),
    "an event that is not superseded": (("lost-write", "superseded"), lambda s: s.superseded.clear()),
    "an event superseded by mistake": (("phantom", "superseded"), lambda s: s.superseded.append(("2", "x"))),
    "a rejected message that is not in quarantine": (("lost-write", "quarantine"), lambda s: s.quarantine.pop(0)),
    "an unstageable record that is not in quarantine": (("lost-write", "quarantine"), lambda s: s.quarantine.pop()),
    "an unstageable record in quarantine twice": (
        ("duplicate", "quarantine"),
        lambda s: s.quarantine.append(s.quarantine[1]._replace(origin="staging/7", event_id="7")),
    ),
    "an unstageable record that was not served": (
        ("phantom", "quarantine"),
        lambda s: change(s.quarantine, 1, sha256="other"),
    ),
    "a good message in quarantine": (
        ("phantom", "quarantine"),
        lambda s: s.quarantine.append(s.quarantine[0]._replace(origin=f"{TOPIC}/0/1")),
    ),
    "a message in quarantine twice": (("duplicate", "quarantine"), lambda s: s.quarantine.append(s.quarantine[0])),
    "a wrong reason": (("garbled", "quarantine"), lambda s: change(s.quarantine, 0, reason="SCHEMA")),
    "a missing copy": (("lost-write", "quarantine topic"), lambda s: s.quarantine_topic.clear()),
    "a copy of nothing": (("phantom", "quarantine topic"), lambda s: s.quarantine_topic.append("x")),
    "a user missing in Cassandra": (
        ("lost-write", "user_profiles_by_id"),
        lambda s: s.cassandra["user_profiles_by_id"].pop(),
    ),
    "a row under an old country": (
        ("duplicate", "user_summaries_by_country"),
        lambda s: s.cassandra["user_summaries_by_country"].append(s.cassandra["user_summaries_by_country"][0]),
    ),
    "an older version in Cassandra": (
        ("nonmonotonic", "user_summaries_by_month"),
        lambda s: change(s.cassandra["user_summaries_by_month"], 0, version=1001),
    ),
    "a changed field in Cassandra": (
        ("garbled", "user_profiles_by_id"),
        lambda s: change(s.cassandra["user_profiles_by_id"], 2, email="x@example.com"),
    ),
    "an arrival that nobody sent": (
        ("phantom", "latest_arrivals"),
        lambda s: change(s.cassandra["latest_arrivals"], 1, version=7),
    ),
    "a changed arrival": (
        ("garbled", "latest_arrivals"),
        lambda s: change(s.cassandra["latest_arrivals"], 1, full_name="Nobody"),
    ),
    "a wrong count in PostgreSQL": (
        ("miscount", "postgres counts"),
        lambda s: s.postgres_counts.__setitem__(("gender", "female"), 99),
    ),
    "a missing count in Cassandra": (
        ("miscount", "cassandra counts"),
        lambda s: s.cassandra_counts.popitem(),
    ),
    "a digest of a password in quarantine": (("leak", "quarantine"), leak),
}


@pytest.mark.parametrize(("expected", "damage"), ANOMALIES.values(), ids=ANOMALIES)
def test_every_anomaly_is_found(expected: tuple[str, str], damage: Damage) -> None:
    state = make_state()
    damage(state)
    assert expected in {(anomaly.kind, anomaly.hop) for anomaly in check(state)}


def test_spoiled_records_keep_their_keys_and_are_always_the_same() -> None:
    records = [{"login": {"uuid": str(n)}, "gender": "female", "nat": "US", "name": {"first": "A"}} for n in range(250)]
    spoiled = spoil_records(records)
    assert spoiled == spoil_records(copy.deepcopy(records))
    changed = [n for n, record in enumerate(spoiled) if record != records[n]]
    assert changed == [39, 79, 99, 119, 159, 199, 239]
    assert [spoiled[n]["login"]["uuid"] for n in changed] == ["39", "79", "98", "119", "159", "198", "239"]


def test_a_record_that_is_nested_too_deeply_cannot_be_staged() -> None:
    record = SPOILS[0]({"login": {"uuid": "1"}})
    text = encode(record).decode()
    assert not is_stageable(record)
    assert text.count("[") + 1 == LEVELS
    assert all(is_stageable(spoil({"name": {}})) for spoil in SPOILS[1:])
