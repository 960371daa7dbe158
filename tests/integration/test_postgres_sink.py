"""The merge of micro-batches, compared with a model that counts from scratch."""

import random
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from insights.model.quarantine import QuarantineRecord
from insights.model.reasons import Reason
from insights.model.schema import USER_FIELDS
from insights.model.user import DIMENSIONS
from insights.sinks import postgres as store
from insights.sinks import user_ranges
from insights.sinks.user_rows import STORED_SCHEMA
from tests.helpers import dimension_oracle
from tests.helpers.accepted_users import FETCHED, encode, user
from tests.helpers.staged_pages import fetch

TOPIC = "users.raw"
Row = dict[str, Any]


def batch(number: int, query: str = "query", until: int | None = None) -> store.MicroBatchId:
    end = (number + 1) * 10 if until is None else until
    return store.MicroBatchId(query, number, {TOPIC: {"0": [number * 10, end]}}, datetime.now(UTC))


def merge(
    connection: Any, identity: store.MicroBatchId, rows: Iterable[Row], rejected: Iterable[QuarantineRecord] = ()
) -> list[Row]:
    """Merge a batch; the rows that are to be written to Cassandra, according to the merge."""
    rows, rejected = list(rows), list(rejected)
    merged = store.merge_batch(connection, identity, encode(rows), [rejected] if rejected else [])
    users: list[Row] = user_ranges.read_users(connection, [merged.seq]).select(USER_FIELDS).to_pylist()
    return users


def read_users(connection: Any) -> list[Row]:
    rows = fetch(connection, f"SELECT {', '.join(USER_FIELDS)} FROM analytics.users ORDER BY user_id")
    return [dict(zip(USER_FIELDS, row, strict=True)) | {"user_id": str(row[0])} for row in rows]


def read_counts(connection: Any) -> dict[tuple[str, str], int]:
    rows = fetch(connection, "SELECT dimension, value, count FROM analytics.user_counts WHERE count > 0")
    return {(dimension, value): count for dimension, value, count in rows}


def count_from_scratch(rows: Iterable[Row]) -> dict[tuple[str, str], int]:
    return dict(
        Counter((dimension, dimension_oracle.value(row, dimension)) for row in rows for dimension in DIMENSIONS)
    )


def read_superseded(connection: Any) -> set[str]:
    return {event for (event,) in fetch(connection, "SELECT event_id FROM analytics.superseded")}


def dump_tables(connection: Any) -> list[Any]:
    """What is stored, without the batch that delivers the users."""
    users = f"analytics.users: {', '.join(USER_FIELDS)}, digest, origin"
    tables = (users, *(f"analytics.{name}: *" for name in ("user_counts", "superseded", "moved")))
    return [
        sorted(fetch(connection, f"SELECT t::text FROM (SELECT {columns} FROM {name}) AS t"))
        for name, columns in (table.split(": ") for table in tables)
    ]


class WideTableModel:
    """A model of Cassandra's users by country or by month.

    Of the writes and deletions of a key the newest wins; on a tie, the deletion.
    """

    def __init__(self, partition: str) -> None:
        self.partition = partition
        self.cells: dict[tuple[Any, ...], tuple[int, bool]] = {}

    def apply(self, connection: Any, current: Iterable[Row]) -> None:
        for row in current:
            self._write((row[self.partition], row["registered_at"], row["user_id"]), row["version"], False)
        for move in user_ranges.read_moves(connection, ()).to_pylist():
            if move[self.partition]:
                self._write((move[self.partition], move["registered_at"], move["user_id"]), move["version"], True)

    def assert_holds(self, users: Iterable[Row]) -> None:
        expected = {(row[self.partition], row["registered_at"], row["user_id"]): row["version"] for row in users}
        assert expected == {key: version for key, (version, deleted) in self.cells.items() if not deleted}

    def _write(self, key: tuple[Any, ...], version: int, deleted: bool) -> None:
        self.cells[key] = max(self.cells.get(key, (0, False)), (version, deleted))


@pytest.mark.parametrize("seed", range(6))
def test_any_order_of_versions_repeats_and_crashes_leaves_the_newest_rows_and_exact_counts(
    connection: Any, seed: int
) -> None:
    random_ = random.Random(seed)
    ids = [UUID(int=random_.getrandbits(128)) for _ in range(8)]
    history: list[tuple[store.MicroBatchId, list[Row]]] = []
    newest: dict[str, Row] = {}
    models = [WideTableModel("country_code"), WideTableModel("registered_month")]
    sent: list[Row] = []
    for number in range(12):
        rows = [
            user(random_, random_.choice(ids), random_.randrange(1, 40) * 1000 + len(sent) + n, f"{len(sent) + n}")
            for n in range(random_.randrange(7))
        ]
        rows += random_.sample(sent, min(len(sent), random_.randrange(3)))
        replayed = [dict(row, version=row["version"] + 500_000) for row in random_.sample(sent, min(len(sent), 1))]
        rows += replayed * random_.randrange(2)
        random_.shuffle(rows)
        sent += rows
        history.append((batch(number), rows))
        for row in rows:
            if row["version"] > newest.get(row["user_id"], {"version": 0})["version"]:
                newest[row["user_id"]] = row
        current = merge(connection, batch(number), rows)
        for _ in range(random_.randrange(3)):
            current = merge(connection, batch(number), rows)
        for model in models:
            model.apply(connection, current)
        if random_.random() < 0.7:
            store.mark_delivered(connection, batch(number))

        assert read_users(connection) == sorted(newest.values(), key=lambda row: UUID(row["user_id"]))
        assert read_counts(connection) == count_from_scratch(newest.values())
        live = {row["event_id"] for row in newest.values()}
        assert read_superseded(connection) == {row["event_id"] for row in sent} - live
        for model in models:
            model.assert_holds(newest.values())

    before = dump_tables(connection)
    for identity, rows in history:
        again = store.MicroBatchId(
            "after the checkpoint was removed", identity.number, identity.offsets, identity.started_at
        )
        current = merge(connection, again, rows)
        for model in models:
            model.apply(connection, current)
        store.mark_delivered(connection, again)
    assert dump_tables(connection) == before
    for model in models:
        model.assert_holds(newest.values())
    assert fetch(connection, "SELECT count(*) FROM analytics.batches WHERE served_at IS NULL") == [(0,)]


def test_a_row_that_is_not_stored_is_never_written_to_cassandra(connection: Any) -> None:
    random_, uid = random.Random(0), UUID(int=7)
    newer = user(random_, uid, 20, "2", full_name="Newer")
    older = user(random_, uid, 10, "1", full_name="Older")
    same_version = dict(newer, full_name="Same version, other content")

    assert merge(connection, batch(0), [newer, older]) == [newer]
    assert merge(connection, batch(1), [older]) == []
    assert merge(connection, batch(2), [same_version]) == [newer]
    assert merge(connection, batch(3), [newer]) == [newer]
    assert [row["full_name"] for row in read_users(connection)] == ["Newer"]


def test_a_batch_repeated_with_other_rules_delivers_what_was_merged(connection: Any) -> None:
    stored = user(random.Random(0), UUID(int=7), 20, "2")
    merge(connection, batch(0), [stored])
    transformed_again = encode([dict(stored, full_name="By newer rules", event_time=FETCHED)])
    merged = store.merge_batch(connection, batch(0), transformed_again, [])
    users = user_ranges.read_users(connection, [merged.seq])
    assert users.select(USER_FIELDS).to_pylist() == [stored]
    assert users.schema == STORED_SCHEMA


def test_a_user_whose_row_was_lost_can_repeat_a_move(connection: Any) -> None:
    older = user(random.Random(0), UUID(int=7), 10, "1", country_code="DE")
    newer = dict(older, version=20, event_id="2", country_code="US")
    for number, rows in enumerate(([older], [newer])):
        merge(connection, batch(number), rows)
        store.mark_delivered(connection, batch(number))
    with connection, connection.cursor() as cursor:
        cursor.execute("DELETE FROM analytics.users")
    merge(connection, batch(2), [older])
    assert merge(connection, batch(3), [newer]) == [newer]
    [move] = user_ranges.read_moves(connection, ()).to_pylist()
    assert (move["version"], move["country_code"]) == (20, "DE")


def test_a_batch_id_reused_with_other_offsets_is_another_batch(connection: Any) -> None:
    random_ = random.Random(0)
    merge(connection, batch(0), [user(random_, UUID(int=1), 10, "1")])
    merge(connection, batch(0, until=99), [user(random_, UUID(int=2), 10, "2")])

    assert len(read_users(connection)) == 2
    assert fetch(connection, "SELECT offsets, accepted FROM analytics.batches") == [({TOPIC: {"0": [0, 99]}}, 1)]
    seqs = {seq for (seq,) in fetch(connection, "SELECT seq FROM analytics.users")}
    assert seqs == {seq for (seq,) in fetch(connection, "SELECT seq FROM analytics.batches")}
    undelivered = store.read_undelivered_counts(connection).to_pylist()
    assert sum(row["count"] for row in undelivered if row["dimension"] == "gender") == 2


def test_counts_missing_in_cassandra_are_undelivered_until_a_batch_is_delivered(connection: Any) -> None:
    random_ = random.Random(0)
    merge(connection, batch(0, "lost checkpoint"), [user(random_, UUID(int=1), 10, "1", country_code="DE")])
    merge(connection, batch(0), [user(random_, UUID(int=1), 10, "1", country_code="DE")])
    undelivered = {
        (row["dimension"], row["value"], row["count"]) for row in store.read_undelivered_counts(connection).to_pylist()
    }
    assert ("country_code", "DE", 1) in undelivered

    store.mark_delivered(connection, batch(0))
    assert store.read_undelivered_counts(connection).num_rows == 0


def test_an_undelivered_batch_beyond_the_offsets_read_again_stays_undelivered(connection: Any) -> None:
    random_ = random.Random(0)
    merge(connection, batch(0, "lost checkpoint", until=50), [user(random_, UUID(int=1), 10, "1")])
    merge(connection, batch(0, until=40), [])
    store.mark_delivered(connection, batch(0, until=40))
    assert fetch(connection, "SELECT query_id FROM analytics.batches WHERE served_at IS NULL") == [("lost checkpoint",)]


@pytest.mark.parametrize(
    "by_hand", ["UPDATE analytics.user_counts SET count = 0", "DELETE FROM analytics.user_counts"], ids=["low", "lost"]
)
def test_a_count_that_would_fall_below_zero_is_counted_again(connection: Any, by_hand: str) -> None:
    random_ = random.Random(0)
    first, second, third = (
        user(random_, UUID(int=n), 10, str(n), gender="female", country_code="DE") for n in range(3)
    )
    merge(connection, batch(0), [first, second, third])
    with connection, connection.cursor() as cursor:
        cursor.execute(by_hand)
    merge(connection, batch(1), [dict(first, version=20, event_id="9", gender="male")])
    counts = read_counts(connection)
    assert (counts["gender", "female"], counts["gender", "male"]) == (2, 1)
    undelivered = {
        (row["dimension"], row["value"], row["count"]) for row in store.read_undelivered_counts(connection).to_pylist()
    }
    assert ("gender", "female", 2) in undelivered


def make_rejected(origin: str, event_id: str, version: int = 1) -> QuarantineRecord:
    return QuarantineRecord(
        origin, event_id, Reason.BAD_EMAIL, "email", "no address", None, None, version, FETCHED, 0, 2, "00", b"{}"
    )


def read_open_events(connection: Any) -> set[str]:
    return {
        event for (event,) in fetch(connection, "SELECT event_id FROM quarantine.records WHERE resolved_at IS NULL")
    }


def test_a_rejected_record_is_quarantined_once_and_resolved_when_its_event_is_stored(connection: Any) -> None:
    random_ = random.Random(0)
    for _ in range(2):
        merge(connection, batch(0), [], [make_rejected("t/0/1", "1"), make_rejected("t/0/2", "2")])
    merge(
        connection,
        batch(0, "after the checkpoint was removed"),
        [],
        [make_rejected("t/0/1", "1"), make_rejected("t/0/2", "2")],
    )
    assert sorted(fetch(connection, "SELECT origin FROM quarantine.records")) == [("t/0/1",), ("t/0/2",)]
    assert read_open_events(connection) == {"1", "2"}

    merge(connection, batch(1), [user(random_, UUID(int=1), 10, "1")])
    assert read_open_events(connection) == {"2"}
    assert fetch(connection, "SELECT resolved_by FROM quarantine.records WHERE event_id = '1'") == [("stream query/1",)]


def test_a_rejected_copy_of_a_stored_event_is_resolved(connection: Any) -> None:
    random_ = random.Random(0)
    merge(connection, batch(0), [user(random_, UUID(int=1), 10, "1"), user(random_, UUID(int=1), 11, "2")])
    merge(
        connection,
        batch(1),
        [],
        [make_rejected("t/0/1", "1", 99), make_rejected("t/0/2", "2", 99), make_rejected("t/0/3", "3")],
    )
    assert read_open_events(connection) == {"3"}


def test_a_batch_records_when_its_new_users_were_fetched_but_not_those_it_replaced(connection):
    times = [datetime(2026, 1, 1, 12, 0, second, tzinfo=UTC) for second in range(3)]
    rows = [user(random.Random(n), UUID(int=n), 1, f"{n}", event_time=time) for n, time in enumerate(times)]
    merge(connection, batch(0), rows)
    merge(connection, batch(1), [dict(row, version=2) for row in rows])
    merge(connection, batch(2), [dict(rows[0], version=3), user(random.Random(9), UUID(int=9), 1, "9")])
    first, replaced, mixed = fetch(
        connection, "SELECT event_times, inserted, batch_id FROM analytics.batches ORDER BY seq"
    )
    assert (first[0][0], first[0][50], first[0][100], len(first[0])) == (*times, 101)
    assert (replaced[:2], mixed[1]) == ((None, 0), 1)
    assert len(set(mixed[0])) == 1
