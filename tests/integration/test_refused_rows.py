"""Records that pass the rules and that a real store refuses: each ends in quarantine, all others are delivered."""

import random
from collections.abc import Iterator
from typing import Any

import psycopg2
import pytest
from cassandra import InvalidRequest

from insights.clients import connections
from insights.settings import CassandraSettings
from tests.helpers.store_delivery import (
    CrashError,
    RealStores,
    Row,
    assert_ledger_closes,
    deliver,
    make_user,
    place,
    read_places,
)

TOO_LONG_FOR_CASSANDRA = "x" * 70_000
"""As a part of a primary key, Cassandra refuses more than 65,535 bytes. PostgreSQL's index holds it compressed."""


@pytest.fixture
def stores(connection: Any, cassandra: CassandraSettings) -> Iterator[RealStores]:
    with connections.open_cassandra(cassandra) as session:
        yield RealStores(connection, session)


def run_sql(stores: RealStores, *statements: str) -> None:
    with stores.connection, stores.connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


def read_refusals(stores: RealStores) -> dict[str, tuple[str, str]]:
    with stores.connection, stores.connection.cursor() as cursor:
        cursor.execute(
            "SELECT event_id, field, detail FROM quarantine.records"
            " WHERE reason = 'SINK_REFUSED' AND resolved_at IS NULL"
        )
        return {event: (field, detail) for event, field, detail in cursor}


POSTGRES_REFUSALS = {
    "a constraint": ["ALTER TABLE analytics.users ADD CONSTRAINT no_cologne CHECK (city <> 'Refused')"],
    "a trigger": [
        """CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN IF NEW.city = 'Refused' THEN RAISE 'no cologne'; END IF; RETURN NEW; END $$""",
        "CREATE TRIGGER refuse BEFORE INSERT OR UPDATE ON analytics.users FOR EACH ROW EXECUTE FUNCTION refuse()",
    ],
    "a deferred trigger": [
        """CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN IF NEW.city = 'Refused' THEN RAISE 'no cologne'; END IF; RETURN NEW; END $$""",
        """CREATE CONSTRAINT TRIGGER refuse AFTER INSERT OR UPDATE ON analytics.users
        DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION refuse()""",
    ],
    "an index": ["CREATE INDEX too_small ON analytics.users (picture_url)"],
}


@pytest.mark.parametrize("name", POSTGRES_REFUSALS)
def test_what_postgresql_refuses_is_quarantined_with_its_words_and_the_rest_delivered(
    stores: RealStores, cassandra: CassandraSettings, name: str
) -> None:
    run_sql(stores, *POSTGRES_REFUSALS[name])
    noise = "".join(chr(random.Random(0).randrange(0x4E00, 0x9FFF)) for _ in range(1)) + "".join(
        chr(code) for code in random.Random(1).sample(range(0x4E00, 0x9FFF), 3000)
    )
    refused: dict[str, Any] = {"picture_url": noise} if name == "an index" else {"city": "Refused"}
    rows = place(0, [make_user(n, 1, **refused if n in (3, 4, 17) else {}) for n in range(20)])
    merged = deliver(stores, 0, rows)
    assert (merged.accepted, merged.rejected) == (17, 3)
    refusals = read_refusals(stores)
    assert set(refusals) == {"3001", "4001", "17001"}
    assert {field for field, _ in refusals.values()} == {"PostgreSQL"}
    words = {"a constraint": 'violates check constraint "no_cologne"', "an index": "index row"}
    assert all(words.get(name, "no cologne") in detail for _, detail in refusals.values())
    events = {row["event_id"] for row in rows}
    assert_ledger_closes(stores.connection, cassandra, events)

    places = read_places(stores.connection)
    deliver(stores, 0, rows)
    deliver(stores, 0, rows, "after the checkpoint was removed")
    assert read_places(stores.connection) == places
    assert_ledger_closes(stores.connection, cassandra, events)


def test_an_update_that_postgresql_refuses_leaves_the_stored_user_in_both_stores(
    stores: RealStores, cassandra: CassandraSettings
) -> None:
    first = place(0, [make_user(1, 1), make_user(2, 1)])
    deliver(stores, 0, first)
    run_sql(stores, *POSTGRES_REFUSALS["a constraint"])
    second = place(1, [make_user(1, 5, city="Refused"), make_user(2, 5)])
    deliver(stores, 1, second)
    assert read_places(stores.connection) == {
        "served": {"1001", "2005"},
        "superseded": {"2001"},
        "quarantined": {"1005"},
    }
    late = place(2, [make_user(1, 3)])
    deliver(stores, 2, late)
    assert read_places(stores.connection)["served"] == {"1003", "2005"}
    assert_ledger_closes(stores.connection, cassandra, {"1001", "1003", "1005", "2001", "2005"})


def test_rows_that_conflict_with_one_another_are_refused_until_the_rest_fits(
    stores: RealStores, cassandra: CassandraSettings
) -> None:
    run_sql(stores, "CREATE UNIQUE INDEX one_address ON analytics.users (email)")
    rows = place(0, [make_user(n, 1, email=f"{n % 7}@example.com") for n in range(10)])
    deliver(stores, 0, rows)
    assert set(read_refusals(stores)) == {"7001", "8001", "9001"}
    assert_ledger_closes(stores.connection, cassandra, {row["event_id"] for row in rows})


def test_an_error_that_is_not_about_rows_quarantines_nothing(stores: RealStores) -> None:
    run_sql(stores, "ALTER TABLE analytics.users RENAME COLUMN city TO town")
    with pytest.raises(psycopg2.errors.UndefinedColumn):
        deliver(stores, 0, place(0, [make_user(1, 1)]))
    run_sql(stores, "ALTER TABLE analytics.users RENAME COLUMN town TO city")
    session, _ = stores.connect_cassandra()
    session.execute("DROP TABLE user_summaries_by_month")
    with pytest.raises(InvalidRequest):
        deliver(stores, 0, place(0, [make_user(1, 1)]))
    assert read_refusals(stores) == {}


CASSANDRA_REFUSALS = {
    "user_summaries_by_country": {"country_code": TOO_LONG_FOR_CASSANDRA},
    "user_summaries_by_month": {"registered_month": TOO_LONG_FOR_CASSANDRA},
    "user_counts": {"city": TOO_LONG_FOR_CASSANDRA},
}
"""Fields of a user that one table refuses, while the tables before it take the row."""


@pytest.mark.parametrize("name", CASSANDRA_REFUSALS)
def test_what_cassandra_refuses_is_taken_out_of_postgresql_again(
    stores: RealStores, cassandra: CassandraSettings, name: str
) -> None:
    bad = CASSANDRA_REFUSALS[name]
    first = place(0, [make_user(n, 1) for n in range(6)])
    deliver(stores, 0, first)
    rows = [
        make_user(0, 5, **bad),  # replaces a delivered user
        make_user(1, 4),
        make_user(1, 5, **bad),  # replaces a user of the same batch
        make_user(2, 5, **bad, registered_at=make_user(3, 1)["registered_at"]),
        make_user(7, 5, **bad),  # is new
        make_user(8, 5),
        make_user(4, 5),
    ]
    second = place(1, rows)
    merged = deliver(stores, 1, second)
    assert (merged.accepted, merged.rejected) == (3, 4)
    refusals = read_refusals(stores)
    assert set(refusals) == {"0005", "1005", "2005", "7005"}
    assert all(field == "Cassandra" and "65535" in detail for field, detail in refusals.values())
    events = {row["event_id"] for row in first + second}
    served = {"0001", "1004", "2001", "3001", "4005", "5001", "8005"}
    assert read_places(stores.connection)["served"] == served
    assert_ledger_closes(stores.connection, cassandra, events)

    places = read_places(stores.connection)
    for query in ("query", "after the checkpoint was removed"):
        for number, batch in enumerate((first, second)):
            deliver(stores, number, batch, query)
            assert read_places(stores.connection) == places
            assert_ledger_closes(stores.connection, cassandra, events)

    late = place(2, [make_user(7, 3), make_user(0, 3)])
    deliver(stores, 2, late)
    events |= {row["event_id"] for row in late}
    assert {"7003"} <= read_places(stores.connection)["served"]
    assert_ledger_closes(stores.connection, cassandra, events)

    corrected = place(3, [dict(make_user(n, 9), event_id=f"{n}005") for n in (0, 1, 2, 7)])
    deliver(stores, 3, corrected)
    assert read_places(stores.connection)["quarantined"] == set()
    assert {"0005", "1005", "2005", "7005"} <= read_places(stores.connection)["served"]
    assert_ledger_closes(stores.connection, cassandra, events)


@pytest.mark.parametrize("name", CASSANDRA_REFUSALS)
def test_a_crash_anywhere_in_a_withdrawal_ends_in_the_same_state(
    stores: RealStores, cassandra: CassandraSettings, name: str
) -> None:
    bad = CASSANDRA_REFUSALS[name]
    first = place(0, [make_user(n, 1) for n in range(3)])
    deliver(stores, 0, first)
    second = place(
        1, [make_user(0, 5, **bad), make_user(1, 5), make_user(2, 4), make_user(2, 5, **bad), make_user(3, 5, **bad)]
    )
    crashes = 0
    for uses in range(1, 30):
        stores.crash_after = uses
        try:
            deliver(stores, 1, second)
            break
        except CrashError:
            crashes += 1
    stores.crash_after = -1
    assert crashes >= 4
    assert read_places(stores.connection) == {
        "served": {"0001", "1005", "2004"},
        "superseded": {"1001", "2001"},
        "quarantined": {"0005", "2005", "3005"},
    }
    assert_ledger_closes(stores.connection, cassandra, {row["event_id"] for row in first + second})


@pytest.mark.parametrize("seed", range(4))
def test_any_refusals_crashes_and_repetitions_leave_every_record_in_one_place(
    stores: RealStores, cassandra: CassandraSettings, seed: int
) -> None:
    random_ = random.Random(seed)
    run_sql(stores, *POSTGRES_REFUSALS["a constraint"])
    kinds: list[dict[str, Any]] = [{}] * 6 + [*CASSANDRA_REFUSALS.values(), {"city": "Refused"}]
    sent: list[Row] = []
    bad_events, version = set(), 0
    for number in range(8):
        rows = []
        for _ in range(random_.randrange(1, 8)):
            version += 1
            fields = random_.choice(kinds)
            country = {} if "country_code" in fields else {"country_code": random_.choice(["DE", "FR"])}
            rows.append(make_user(random_.randrange(5), version, **country | fields))
            if fields:
                bad_events.add(rows[-1]["event_id"])
        rows = place(number, rows)
        sent += rows
        while True:
            stores.crash_after = random_.choice([1, 2, 3, 5, 8, 13, -1])
            try:
                deliver(stores, number, rows)
                break
            except CrashError:
                continue
        stores.crash_after = -1
        places = read_places(stores.connection)
        assert places["quarantined"] <= bad_events <= places["quarantined"] | places["superseded"]
        newest = {}
        for row in sent:
            if row["event_id"] not in bad_events:
                newest[row["user_id"]] = row["event_id"]
        assert places["served"] == set(newest.values())
        assert_ledger_closes(stores.connection, cassandra, {row["event_id"] for row in sent})
