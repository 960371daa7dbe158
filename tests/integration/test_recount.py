"""The recount on real servers: exact in both stores, and ordered among the merges of the stream."""

import random
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime
from importlib import import_module
from typing import Any
from uuid import UUID

import pytest
from typer.testing import CliRunner

from insights.cli import app
from insights.clients import connections
from insights.errors import UserError
from insights.ledger.check import check_ledger
from insights.model.quarantine import QuarantineRecord
from insights.repair.recount import count_new_dimensions, find_wrong_counts, recount, recount_postgres
from insights.settings import CassandraSettings, PostgresSettings, StreamSettings
from insights.sinks import postgres as store
from insights.sinks.cassandra import CassandraWriter
from tests.helpers import accepted_users
from tests.helpers.idle_flow import IdleFlow
from tests.helpers.support import eventually

STREAM = StreamSettings()
TOPIC = "users.raw"


def batch(number: int) -> store.MicroBatchId:
    return store.MicroBatchId("query", number, {TOPIC: {"0": [number * 10, number * 10 + 10]}}, datetime.now(UTC))


def user(number: int, version: int = 10, **fields: Any) -> dict[str, Any]:
    return accepted_users.user(random.Random(number), UUID(int=number), version, f"{number}", **fields)


def merge(connection: Any, number: int, *users: dict[str, Any]) -> None:
    store.merge_batch(connection, batch(number), accepted_users.encode(users), [])


def gender_counts(cassandra: CassandraSettings) -> dict[str, int]:
    with connections.open_cassandra(cassandra) as session:
        rows = session.execute("SELECT value, count FROM user_counts WHERE dimension = 'gender'")
        return {value: count for value, count in rows if count}


def send_counts(cassandra: CassandraSettings, counts: Any) -> None:
    """Write counts to Cassandra as the stream does after a merge."""
    with connections.open_cassandra(cassandra) as session:
        writer = CassandraWriter(session, in_flight=4, batch_rows=30)
        writer.upsert("user_counts", ("dimension", "value", "count"), counts, "seq")


def test_the_check_suggests_a_recount_and_the_recount_corrects_both_stores(flow: IdleFlow) -> None:
    stores = flow.stores
    flow.sql("UPDATE analytics.user_counts SET count = count + 1 WHERE dimension = 'gender'")
    flow.sql("DELETE FROM analytics.user_counts WHERE dimension = 'continent'")
    flow.sql("INSERT INTO analytics.user_counts VALUES ('country_code', 'ZZ', 3, 1)")
    flow.cql("UPDATE user_counts SET count = 99 WHERE dimension = 'age_band' AND value = 'nobody'")
    broken = [hop for hop in check_ledger(stores).hops if hop.name.startswith("user_counts")]
    assert ["insights recount" in hop.sentence for hop in broken] == [True, True]

    wrong = find_wrong_counts(stores.postgres, stores.cassandra)
    assert check_ledger(stores).open_hops() == tuple(broken)
    assert recount(stores.postgres, stores.cassandra, STREAM) == wrong
    assert {("country_code", "ZZ", 3, None, 0, False), ("age_band", "nobody", None, 99, 0, False)} <= set(wrong)
    ledger = check_ledger(stores)
    assert ledger.closed, ledger.open_hops()
    assert find_wrong_counts(stores.postgres, stores.cassandra) == []
    assert flow.cql("SELECT * FROM user_counts WHERE dimension = 'age_band' AND value = 'nobody'") == []


def test_a_recount_waits_for_a_running_merge(
    connection: Any, postgres: PostgresSettings, cassandra: CassandraSettings
) -> None:
    merge(connection, 0, user(1, gender="female"))
    merging_users, finish = threading.Event(), threading.Event()

    def rejected() -> Iterator[list[QuarantineRecord]]:
        merging_users.set()
        assert finish.wait(60)
        yield []

    def is_recount_waiting() -> bool:
        with closing(connections.connect_postgres(postgres, "tests")) as other, other.cursor() as cursor:
            cursor.execute(
                "SELECT count(*) FROM pg_stat_activity"
                " WHERE application_name = 'recount' AND wait_event_type = 'Lock' AND wait_event = 'advisory'"
            )
            return bool(cursor.fetchone() == (1,))

    rows = accepted_users.encode([user(2, gender="female")])
    with ThreadPoolExecutor(2) as pool:
        merging = pool.submit(store.merge_batch, connection, batch(1), rows, rejected())
        try:
            assert merging_users.wait(60)
            counting = pool.submit(recount, postgres, cassandra, STREAM)
            eventually(is_recount_waiting)
        finally:
            finish.set()
        merging.result(60)
        counting.result(60)
    assert gender_counts(cassandra) == {"female": 2}
    assert find_wrong_counts(postgres, cassandra) == []


def name_wrong(counts: Any) -> list[str]:
    return [f"{count.dimension}={count.value}" for count in counts]


def test_counts_on_their_way_to_cassandra_are_not_wrong(
    connection: Any, postgres: PostgresSettings, cassandra: CassandraSettings
) -> None:
    merge(connection, 0, user(1, gender="female"), user(2, gender="female"))
    send_counts(cassandra, store.read_undelivered_counts(connection))
    store.mark_delivered(connection, batch(0))
    merge(connection, 1, user(3, gender="male"), user(4, gender="male"))
    assert find_wrong_counts(postgres, cassandra) == []

    with connection, connection.cursor() as cursor:
        cursor.execute("UPDATE analytics.user_counts SET count = 7 WHERE dimension = 'gender'")
    assert name_wrong(find_wrong_counts(postgres, cassandra)) == ["gender=female", "gender=male"]
    assert name_wrong(recount(postgres, cassandra, STREAM)) == ["gender=female", "gender=male"]
    assert gender_counts(cassandra) == {"female": 2, "male": 2}


def test_counts_that_a_stopped_stream_never_delivered_are_wrong(
    connection: Any, postgres: PostgresSettings, cassandra: CassandraSettings
) -> None:
    merge(connection, 0, user(1, gender="female"))
    with connection, connection.cursor() as cursor:
        cursor.execute("UPDATE analytics.batches SET merged_at = now() - interval '6 minutes'")
    assert "gender=female" in name_wrong(find_wrong_counts(postgres, cassandra))
    assert "gender=female" in name_wrong(recount(postgres, cassandra, STREAM))


def test_counts_merged_while_cassandra_is_read_are_not_wrong(
    connection: Any, postgres: PostgresSettings, cassandra: CassandraSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = import_module("insights.repair.recount")
    read_counts = module.read_cassandra_counts

    def read_late(session: Any) -> Any:
        merge(connection, 0, user(1, gender="female"))
        send_counts(cassandra, store.read_undelivered_counts(connection))
        store.mark_delivered(connection, batch(0))
        return read_counts(session)

    monkeypatch.setattr(module, "read_cassandra_counts", read_late)
    assert find_wrong_counts(postgres, cassandra) == []


def test_in_cassandra_a_recount_wins_over_earlier_batches_and_loses_to_later_ones(
    connection: Any, postgres: PostgresSettings, cassandra: CassandraSettings
) -> None:
    merge(connection, 0, user(1, gender="female"), user(2, gender="female"))
    with connection, connection.cursor() as cursor:
        cursor.execute("UPDATE analytics.user_counts SET count = 7 WHERE dimension = 'gender'")
    earlier_counts = store.read_undelivered_counts(connection)
    recount(postgres, cassandra, STREAM)
    send_counts(cassandra, earlier_counts)
    assert gender_counts(cassandra) == {"female": 2}

    merge(connection, 1, user(3, gender="female"))
    send_counts(cassandra, store.read_undelivered_counts(connection))
    assert gender_counts(cassandra) == {"female": 3}


def test_a_recount_that_did_not_reach_cassandra_is_delivered_with_the_next_batch(connection: Any) -> None:
    merge(connection, 0, user(1, gender="female"))
    with connection, connection.cursor() as cursor:
        cursor.execute("UPDATE analytics.user_counts SET count = 7 WHERE dimension = 'gender'")
    recount_postgres(connection, dict)
    store.mark_delivered(connection, batch(0))
    assert ("gender", "female", 1) in read_undelivered(connection)

    merge(connection, 1, user(2, gender="male"))
    assert {("gender", "female", 1), ("gender", "male", 1)} <= read_undelivered(connection)
    store.mark_delivered(connection, batch(1))
    assert read_undelivered(connection) == set()


def test_without_users_a_recount_is_refused_and_changes_nothing(flow: IdleFlow) -> None:
    stores = flow.stores
    counts = flow.sql("SELECT count(*), sum(count), max(seq) FROM analytics.user_counts")
    flow.sql("DELETE FROM analytics.users")
    with pytest.raises(UserError, match=r"PostgreSQL has no users, but .* restore the users"):
        find_wrong_counts(stores.postgres, stores.cassandra)
    with pytest.raises(UserError, match="Nothing was changed"):
        recount(stores.postgres, stores.cassandra, STREAM)
    assert flow.sql("SELECT count(*), sum(count), max(seq) FROM analytics.user_counts") == counts
    assert flow.sql("SELECT count(*) FROM analytics.batches WHERE query_id = 'recount'") == (0,)


def test_the_command_lists_wrong_counts_and_a_dry_run_changes_none(
    flow: IdleFlow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(import_module("insights.cli.recount"), "load_stores", lambda: flow.stores)
    flow.sql("INSERT INTO analytics.user_counts VALUES ('country_code', 'ZZ', 3, 1)")
    listed = "country_code=ZZ: 0 users, 3 in PostgreSQL, none in Cassandra\n1 count"
    for _ in range(2):
        assert CliRunner().invoke(app, ["recount", "--dry-run"]).output == f"{listed} is wrong.\n"
    assert CliRunner().invoke(app, ["recount"]).output == f"{listed} was wrong and is now exact.\n"
    assert CliRunner().invoke(app, ["recount"]).output == "0 counts were wrong and are now exact.\n"


def read_undelivered(connection: Any) -> set[tuple[str, str, int]]:
    rows = store.read_undelivered_counts(connection).to_pylist()
    return {(row["dimension"], row["value"], row["count"]) for row in rows}


def test_a_dimension_added_by_an_upgrade_is_counted_once(connection, postgres, cassandra):
    assert count_new_dimensions(postgres, cassandra, STREAM) == []
    merge(connection, 0, user(1), user(2))
    assert count_new_dimensions(postgres, cassandra, STREAM) == []
    with connection, connection.cursor() as cursor:
        cursor.execute("DELETE FROM analytics.user_counts WHERE dimension IN ('registered_weekday', 'country_city')")
    assert set(count_new_dimensions(postgres, cassandra, STREAM)) == {"registered_weekday", "country_city"}
    assert find_wrong_counts(postgres, cassandra) == []
    assert count_new_dimensions(postgres, cassandra, STREAM) == []
