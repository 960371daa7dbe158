import contextlib
import itertools
import json
import threading
import uuid
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg2
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as fuzz
from hypothesis import strategies as st
from psycopg2.extensions import ISOLATION_LEVEL_AUTOCOMMIT

from insights.clients import connections
from insights.ledger import events
from insights.ledger.hops import LedgerState
from insights.settings import PostgresSettings
from insights.source.envelope import PageRequest, unpack_page
from insights.staging import load as staging_load
from insights.staging import retention
from insights.staging.load import LoadedPage, load_page
from insights.staging.read_again import read_period
from insights.staging.retention import drop_expired
from tests.helpers.staged_pages import MadePage, make_record, make_records, read_user_id, run_sql
from tests.helpers.support import eventually

TOPIC = "users.raw"


def count_rows(postgres: PostgresSettings) -> tuple[int, int, int]:
    """The numbers of staged rows, keys and pages."""
    [row] = run_sql(
        postgres,
        "SELECT (SELECT count(*) FROM staging.users), (SELECT count(*) FROM staging.user_keys),"
        " (SELECT count(*) FROM staging.batches)",
    )
    return row


def test_a_page_becomes_rows_a_ledger_row_and_a_notification(postgres: PostgresSettings, connection: Any) -> None:
    listener = connections.connect_postgres(postgres, "listener")
    listener.set_isolation_level(ISOLATION_LEVEL_AUTOCOMMIT)
    listener.cursor().execute("LISTEN insights_staged")
    fetched_at = datetime(2026, 11, 20, 23, 59, 59, 123456, tzinfo=UTC)
    records = make_records(3, name="Zoë\t\\n")

    loaded = load_page(connection, MadePage(records, fetched_at=fetched_at), "ingest", "run-1")

    assert loaded == LoadedPage("seed/1", 3, 3, 0, 0)
    rows = run_sql(postgres, "SELECT user_key::text, payload::text, batch_id, event_time, version FROM staging.users")
    assert {key: payload.encode() for key, payload, *_ in rows} == {read_user_id(record): record for record in records}
    assert {(batch, at) for _, _, batch, at, _ in rows} == {("seed/1", fetched_at.replace(microsecond=123000))}
    now = datetime.now(UTC).timestamp() * 1_000_000
    assert all(now - 60_000_000 < version <= now for *_, version in rows)
    assert run_sql(postgres, "SELECT dag_id, run_id, seed, page, fetched, staged, duplicates FROM staging.batches") == [
        ("ingest", "run-1", "seed", 1, 3, 3, 0)
    ]
    eventually(lambda: listener.poll() or listener.notifies, seconds=5)
    listener.close()


def test_duplicates_are_counted_within_a_page_and_across_pages(connection: Any, postgres: PostgresSettings) -> None:
    records = make_records(3)
    assert load_page(connection, MadePage([*records, records[0]]), "dag", "run") == LoadedPage("seed/1", 4, 3, 1, 0)
    assert load_page(connection, MadePage([records[2], *make_records(1)], page=2), "dag", "run") == LoadedPage(
        "seed/2", 2, 1, 1, 0
    )
    assert count_rows(postgres) == (4, 4, 2)


def test_the_first_record_of_a_user_is_kept(connection: Any, postgres: PostgresSettings) -> None:
    user = str(uuid.uuid4())
    load_page(connection, MadePage([make_record(user, n=1), make_record(user, n=2)]), "dag", "run")
    assert run_sql(postgres, "SELECT payload->>'n' FROM staging.users") == [("1",)]


def test_a_record_without_uuid_is_staged_under_a_key_of_its_content(
    connection: Any, postgres: PostgresSettings
) -> None:
    records = [b'{"a":1,"b":2}', b'{"b":2,"a":1}', b'{"login":"x"}', b'{"login":{"uuid":7}}', b"[]"]
    assert load_page(connection, MadePage(records), "dag", "run").staged == 4
    assert load_page(connection, MadePage(records, page=2), "dag", "run") == LoadedPage("seed/2", 5, 0, 5, 0)
    assert count_rows(postgres) == (4, 4, 2)


def test_escapes_that_a_text_column_cannot_hold_are_preserved(connection: Any, postgres: PostgresSettings) -> None:
    records = [
        b'{"login":{"uuid":"%s"},"name":"%s"}' % (str(uuid.uuid4()).encode(), name)
        for name in (rb"a\u0000b", rb"\ud800", rb"\udc00\ud800", b"\\\\u0000", "\u2028\x7f".encode(), b"\\t\\\\t\\n")
    ]
    load_page(connection, MadePage(records), "dag", "run")
    assert {payload.encode() for (payload,) in run_sql(postgres, "SELECT payload::text FROM staging.users")} == set(
        records
    )
    past, future = datetime(2020, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)
    assert {message.value for message in read_period(connection, past, future)} == set(records)


@pytest.mark.parametrize("step", ["_copy_rows", "_insert_ledger_row"])
def test_a_task_killed_before_commit_leaves_nothing_and_its_retry_loads_the_page(
    postgres: PostgresSettings, connection: Any, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    page = MadePage(make_records(5))
    original = getattr(staging_load, step)

    def kill(cursor: Any, *arguments: Any) -> None:
        original(cursor, *arguments)
        run_sql(postgres, "SELECT pg_terminate_backend(%s)", cursor.connection.info.backend_pid)
        cursor.execute("SELECT 1")

    with monkeypatch.context() as patched:
        patched.setattr(staging_load, step, kill)
        with pytest.raises(psycopg2.Error):
            load_page(connections.connect_postgres(postgres, "doomed"), page, "dag", "run")
    assert count_rows(postgres) == (0, 0, 0)

    assert load_page(connection, page, "dag", "run") == LoadedPage("seed/1", 5, 5, 0, 0)
    assert count_rows(postgres) == (5, 5, 1)


def test_a_task_retried_after_commit_changes_nothing(postgres: PostgresSettings, connection: Any) -> None:
    records = make_records(5)
    first = load_page(connection, MadePage([*records, records[0]]), "dag", "run")
    before = run_sql(postgres, "SELECT * FROM staging.batches")
    assert load_page(connection, MadePage([*records, records[0]]), "dag", "retry") == first
    assert run_sql(postgres, "SELECT * FROM staging.batches") == before
    assert count_rows(postgres) == (5, 5, 1)


def unpack(*rows: str, page: int = 1) -> MadePage:
    """The page as the client unpacks it."""
    info = {"seed": "seed", "page": page, "version": "1.4"}
    body = f'{{"results":[{",".join(rows)}],"info":{json.dumps(info)}}}'.encode("utf-8", "surrogatepass")
    unpacked = unpack_page(body, PageRequest("seed", page, len(rows)))
    return MadePage(unpacked.records, page=page, rejected=unpacked.rejected)


DEEP = '{"x":' * 39 + '{"x":1}' + "}" * 39


def test_a_bad_row_is_quarantined_once_and_the_others_are_staged(postgres: PostgresSettings, connection: Any) -> None:
    good = [record.decode() for record in make_records(2)]
    loaded = load_page(connection, unpack(good[0], DEEP, "null", good[1], "null"), "dag", "run")
    assert loaded == LoadedPage("seed/1", 5, 2, 1, 2)
    records = run_sql(postgres, "SELECT origin, event_id, reason, field, batch_id, payload FROM quarantine.records")
    assert sorted((reason, bytes(payload)) for *_, reason, _, _, payload in records) == [
        ("SCHEMA", b"null"),
        ("SCHEMA", DEEP.encode()),
    ]
    assert {(origin, field, batch) for origin, _, _, field, batch, _ in records} == {
        (f"staging/{event_id}", "value", "seed/1") for _, event_id, *_ in records
    }
    assert count_rows(postgres) == (2, 4, 1)

    assert load_page(connection, unpack(DEEP, "null", page=2), "dag", "run") == LoadedPage("seed/2", 2, 0, 2, 0)
    assert run_sql(postgres, "SELECT count(*) FROM quarantine.records") == [(2,)]


def close_hops(connection: Any) -> list[tuple[LedgerState, str]]:
    """The state of the ledger's hops up to staging."""
    with connection, connection.cursor() as cursor:
        cursor.execute(events.CREATE_SCRATCH_TABLES)
        events.load_events(cursor, "raw")
        hops = [(hop.state, hop.sentence) for hop in (events.check_fetched(cursor), events.check_staged(cursor))]
        connection.rollback()
        return hops


def test_the_ledger_holds_for_a_page_with_bad_rows_and_names_a_lost_one(
    postgres: PostgresSettings, connection: Any
) -> None:
    load_page(connection, unpack(*(record.decode() for record in make_records(2)), DEEP, "null"), "dag", "run")
    assert close_hops(connection) == [
        ("closed", "4 fetched = 2 staged + 0 duplicates + 2 quarantined."),
        ("closed", "4 keys = 2 rows kept + 2 quarantined + 0 dropped by retention."),
    ]
    [(lost,)] = run_sql(postgres, "DELETE FROM quarantine.records WHERE payload = 'null' RETURNING event_id")
    _, (state, sentence) = close_hops(connection)
    assert (state, f"Missing: {lost}." in sentence) == ("broken", True)


ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(exclude_categories=())),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)
ANY_ROW = st.one_of(
    ANY_JSON.map(lambda value: json.dumps(value, ensure_ascii=False)),
    ANY_JSON.map(json.dumps),
    st.builds(lambda value, user: json.dumps({"login": {"uuid": user}, "x": value}), ANY_JSON, st.uuids().map(str)),
    st.integers(1, 3000).map(lambda depth: '{"a":[' * depth + "]}" * depth),
    st.sampled_from(["", "NaN", "-", "1e999", "9" * 5000, '"\x01"', "{'a':1}", '{"a":"\\u0000"}', '{"a":1,"a":2}']),
)


NUMBERS = itertools.count(1)


@given(st.lists(ANY_ROW, max_size=12))
@fuzz(deadline=None, max_examples=60, suppress_health_check=list(HealthCheck), database=None)
def test_every_row_of_any_page_is_staged_or_quarantined_or_a_duplicate(
    connection: Any, postgres: PostgresSettings, rows: list[str]
) -> None:
    loaded = load_page(connection, unpack("{}", *rows, page=next(NUMBERS)), "dag", "run")
    kept = run_sql(
        postgres,
        "SELECT (SELECT count(*) FROM staging.users WHERE batch_id = %s),"
        " (SELECT count(*) FROM quarantine.records WHERE batch_id = %s)",
        *(loaded.batch_id, loaded.batch_id),
    )
    assert kept == [(loaded.staged, loaded.quarantined)]
    assert loaded.fetched == loaded.staged + loaded.duplicates + loaded.quarantined == 1 + len(rows)


def run_in_threads(*calls: Any) -> list[Any]:
    results: list[Any] = [None] * len(calls)

    def run(number: int) -> None:
        try:
            results[number] = calls[number]()
        except Exception as error:
            results[number] = error

    threads = [threading.Thread(target=run, args=(number,)) for number in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return results


def test_a_page_loaded_concurrently_is_loaded_once(postgres: PostgresSettings) -> None:
    page = MadePage(make_records(2000))

    def load() -> LoadedPage:
        with closing(connections.connect_postgres(postgres, "loader")) as connection:
            return load_page(connection, page, "dag", "run")

    assert run_in_threads(load, load, load) == [LoadedPage("seed/1", 2000, 2000, 0, 0)] * 3
    assert count_rows(postgres) == (2000, 2000, 1)


def test_pages_that_overlap_in_opposite_order_do_not_deadlock(postgres: PostgresSettings) -> None:
    records = make_records(3000)

    def load(page: int) -> LoadedPage:
        ordered = records if page % 2 else records[::-1]
        with closing(connections.connect_postgres(postgres, "loader")) as connection:
            return load_page(connection, MadePage(ordered, page=page), "dag", "run")

    loaded = run_in_threads(*(lambda page=page: load(page) for page in range(4)))
    assert [type(result) for result in loaded] == [LoadedPage] * 4, loaded
    assert sorted(result.staged for result in loaded) == [0, 0, 0, 3000]
    assert sum(result.duplicates for result in loaded) == 9000
    assert count_rows(postgres) == (3000, 3000, 4)


def test_overlapping_pages_claim_keys_in_one_order(postgres: PostgresSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each transaction claims the first half of its keys, waits for the other, then claims the second half."""
    records = make_records(200)
    claim, meeting = staging_load._claim_keys, threading.Barrier(2)

    def claim_by_halves(cursor: Any, keys: list[str], *rest: Any) -> dict[str, int]:
        half = len(keys) // 2
        ids = claim(cursor, keys[:half], *rest)
        with contextlib.suppress(threading.BrokenBarrierError):
            meeting.wait(1)
        return ids | claim(cursor, keys[half:], *rest)

    monkeypatch.setattr(staging_load, "_claim_keys", claim_by_halves)

    def load(page: int) -> LoadedPage:
        with closing(connections.connect_postgres(postgres, "loader")) as connection:
            return load_page(connection, MadePage(records if page else records[::-1], page=page), "dag", "run")

    loaded = run_in_threads(lambda: load(0), lambda: load(1))
    assert [type(result) for result in loaded] == [LoadedPage] * 2, loaded
    assert sum(result.staged for result in loaded) == 200


def test_concurrent_first_pages_of_a_day_create_one_partition(postgres: PostgresSettings) -> None:
    def load(page: int) -> LoadedPage:
        with closing(connections.connect_postgres(postgres, "loader")) as connection:
            return load_page(connection, MadePage(make_records(3), page=page), "dag", "run")

    loaded = run_in_threads(*(lambda page=page: load(page) for page in range(4)))
    assert [type(result) for result in loaded] == [LoadedPage] * 4, loaded
    assert count_rows(postgres) == (12, 12, 4)


def test_a_new_partition_waits_for_neither_readers_nor_writers(postgres: PostgresSettings, connection: Any) -> None:
    load_page(connection, MadePage(make_records(1)), "dag", "run")
    run_sql(postgres, "ALTER TABLE staging.users_" + f"{datetime.now(UTC):%Y%m%d}" + " RENAME TO users_20000101")
    run_sql(postgres, "ALTER TABLE staging.users DETACH PARTITION staging.users_20000101")
    with closing(connections.connect_postgres(postgres, "reader")) as reader:
        reader.cursor().execute("LOCK TABLE staging.users IN ROW EXCLUSIVE MODE")
        connection.cursor().execute("SET lock_timeout = '3s'")
        assert load_page(connection, MadePage(make_records(1), page=2), "dag", "run").staged == 1


def test_rows_of_a_period_are_read_again_with_a_newer_version(postgres: PostgresSettings, connection: Any) -> None:
    noon = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(days=1)
    for hour in range(3):
        records = make_records(4, hour=hour)
        load_page(connection, MadePage(records, page=hour, fetched_at=noon + timedelta(hours=hour)), "dag", "run")
    old = dict(run_sql(postgres, "SELECT id::text, version FROM staging.users"))

    start, end = noon + timedelta(hours=1), noon + timedelta(hours=2)
    messages = list(read_period(connection, start, end, fetch_rows=3))

    assert [json.loads(message.value)["hour"] for message in messages] == [1] * 4
    assert all(message.version > old[message.event_id] for message in messages)
    assert {(message.batch_id, message.event_time, message.redrives) for message in messages} == {("seed/1", start, 0)}
    assert {str(message.key) for message in messages} == {read_user_id(message.value) for message in messages}


def test_a_row_fetched_by_a_clock_already_past_midnight_is_read_again(
    postgres: PostgresSettings, connection: Any
) -> None:
    midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
    load_page(connection, MadePage(make_records(2), fetched_at=midnight + timedelta(seconds=3)), "dag", "run")
    assert run_sql(postgres, "SELECT DISTINCT staged_on FROM staging.users") == [(midnight.date() - timedelta(days=1),)]
    assert len(list(read_period(connection, midnight, midnight + timedelta(hours=1)))) == 2


def stage_aged(postgres: PostgresSettings, records: list[bytes], days: int, now: datetime, page: int) -> None:
    """Stage a page as if that had been `days` ago."""
    with closing(connections.connect_postgres(postgres, "tests")) as connection:
        load_page(connection, MadePage(records, page=page), "dag", "run")
    today, day = datetime.now(UTC).date(), now.date() - timedelta(days=days)
    name, old = f"staging.users_{today:%Y%m%d}", f"users_{day:%Y%m%d}"
    run_sql(postgres, f"ALTER TABLE staging.users DETACH PARTITION {name}")
    run_sql(postgres, f"ALTER TABLE {name} RENAME TO {old}")
    run_sql(postgres, f"UPDATE staging.{old} SET staged_on = %s", day)
    bounds = f"FROM ('{day}') TO ('{day + timedelta(days=1)}')"
    run_sql(postgres, f"ALTER TABLE staging.users ATTACH PARTITION staging.{old} FOR VALUES {bounds}")


def advance_cursor(postgres: PostgresSettings, page: int) -> None:
    """Advance the publisher's cursor past a page."""
    run_sql(postgres, "INSERT INTO staging.publisher (name) VALUES (%s) ON CONFLICT DO NOTHING", TOPIC)
    run_sql(
        postgres,
        "UPDATE staging.publisher SET (epoch, xact_id, id) = (SELECT epoch, xact_id, id FROM staging.users"
        " WHERE batch_id = %s ORDER BY epoch DESC, xact_id DESC, id DESC LIMIT 1)",
        f"seed/{page}",
    )


def test_retention_drops_and_records_old_published_partitions(postgres: PostgresSettings, connection: Any) -> None:
    now = datetime.now(UTC)
    for page, days in enumerate((16, 15, 14)):
        stage_aged(postgres, make_records(3 + page), days, now, page)
        advance_cursor(postgres, page)
    dropped = drop_expired(connection, now, 14, TOPIC)
    assert dropped == [now.date() - timedelta(days=16), now.date() - timedelta(days=15)]
    assert run_sql(postgres, "SELECT staged_on, row_count FROM staging.pruned ORDER BY 1") == list(
        zip(dropped, [3, 4], strict=True)
    )
    assert count_rows(postgres) == (5, 12, 3)
    assert drop_expired(connection, now, 14, TOPIC) == []


def test_retention_keeps_unpublished_partitions(postgres: PostgresSettings, connection: Any) -> None:
    now = datetime.now(UTC)
    stage_aged(postgres, make_records(3), 30, now, 0)
    assert drop_expired(connection, now, 14, TOPIC) == []
    advance_cursor(postgres, 0)
    stage_aged(postgres, make_records(3), 20, now, 1)
    assert drop_expired(connection, now, 14, TOPIC) == [now.date() - timedelta(days=30)]
    assert count_rows(postgres) == (3, 6, 2)


def insert_uncommitted(connection: Any) -> None:
    """Insert one more row into the oldest partition."""
    connection.cursor().execute(
        "INSERT INTO staging.users SELECT id + 1000, epoch, pg_current_xact_id(), staged_on, gen_random_uuid(),"
        " version, event_time, batch_id, payload FROM staging.users ORDER BY staged_on LIMIT 1"
    )


def test_retention_gives_way_to_a_writer(
    postgres: PostgresSettings, connection: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = datetime.now(UTC)
    stage_aged(postgres, make_records(3), 30, now, 0)
    advance_cursor(postgres, 0)
    monkeypatch.setattr(retention, "_LOCK_TIMEOUT", "200ms")
    with closing(connections.connect_postgres(postgres, "writer")) as writer:
        insert_uncommitted(writer)
        assert drop_expired(connection, now, 14, TOPIC) == []
        writer.rollback()
    assert drop_expired(connection, now, 14, TOPIC) == [now.date() - timedelta(days=30)]


def test_retention_sees_a_row_committed_while_it_waits(postgres: PostgresSettings, connection: Any) -> None:
    now = datetime.now(UTC)
    stage_aged(postgres, make_records(3), 30, now, 0)
    advance_cursor(postgres, 0)
    with closing(connections.connect_postgres(postgres, "writer")) as writer:
        insert_uncommitted(writer)
        dropped: list[Any] = []
        retention = threading.Thread(
            target=lambda: dropped.extend(drop_expired(connection, now, 14, TOPIC) or ["none"])
        )
        retention.start()
        eventually(
            lambda: run_sql(
                postgres,
                "SELECT 1 FROM pg_locks JOIN pg_database AS d ON d.oid = database"
                " WHERE NOT granted AND datname = current_database()",
            ),
            message="retention does not wait",
        )
        writer.commit()
        retention.join(30)
    assert dropped == ["none"]
    assert count_rows(postgres)[0] == 4


def test_rows_of_another_cluster_have_another_epoch(postgres: PostgresSettings, connection: Any) -> None:
    run_sql(postgres, "INSERT INTO staging.epochs (system_identifier) VALUES (1)")
    load_page(connection, MadePage(make_records(1)), "dag", "run")
    load_page(connection, MadePage(make_records(1), page=2), "dag", "run")
    assert run_sql(postgres, "SELECT epoch, count(*) FROM staging.users GROUP BY 1") == [(2, 2)]
    assert run_sql(postgres, "SELECT count(*) FROM staging.epochs") == [(2,)]
