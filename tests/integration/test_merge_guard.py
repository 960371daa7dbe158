"""The last protections of a merge: when merges overlap in spite of their lock, and when a batch repeats otherwise."""

import random
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from insights.clients import connections
from insights.errors import UserError
from insights.model.quarantine import QuarantineRecord
from insights.model.reasons import Reason
from insights.settings import PostgresSettings
from insights.sinks import postgres as store
from tests.helpers.accepted_users import encode, user
from tests.helpers.staged_pages import run_sql

WAIT_SECONDS = 30


def batch(number: int) -> store.MicroBatchId:
    return store.MicroBatchId("query", number, {"users.raw": {"0": [number, number + 1]}}, datetime.now(UTC))


def test_a_merge_that_did_not_see_a_newer_row_does_not_replace_it(
    postgres: PostgresSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    older = user(random.Random(0), UUID(int=1), 1000, "1")
    newer = older | {"version": 2000, "event_id": "2", "city": "Köln"}
    compared, merged = threading.Event(), threading.Event()
    inherit = store.inherit_unfinished_writes

    def wait_for_the_other_merge(cursor: Any, identity: store.MicroBatchId, seq: int) -> None:
        if identity.query_id == "query":
            compared.set()
            assert merged.wait(WAIT_SECONDS)
        inherit(cursor, identity, seq)

    def merge(query: str, row: dict[str, Any]) -> None:
        with closing(connections.connect_postgres(postgres, "tests")) as connection:
            store.merge_batch(connection, replace(batch(0), query_id=query), encode([row]), [])

    monkeypatch.setattr(store, "lock_merges", lambda _: None)
    monkeypatch.setattr(store, "inherit_unfinished_writes", wait_for_the_other_merge)
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(merge, "query", older)
        assert compared.wait(WAIT_SECONDS)
        merge("another", newer)
        merged.set()
        slow.result(WAIT_SECONDS)
    assert run_sql(postgres, "SELECT version, city FROM analytics.users") == [(2000, "Köln")]


def test_a_repeated_batch_changes_nothing_even_if_the_rules_now_reject_a_record(connection: Any) -> None:
    rows = [user(random.Random(number), UUID(int=number), 1000 + number, str(number)) for number in (1, 2)]
    store.merge_batch(connection, batch(0), encode(rows), [])
    before = read_batch_and_quarantine(connection)
    now_rejected = QuarantineRecord(
        origin="users.raw/0/1",
        event_id="2",
        reason=Reason.BAD_EMAIL,
        field="email",
        detail="no address",
        key=str(UUID(int=2)),
        batch_id=None,
        version=1002,
        event_time=datetime.now(UTC),
        redrives=0,
        size=2,
        sha256="",
        payload=b"{}",
    )
    store.merge_batch(connection, batch(0), encode(rows[:1]), [[now_rejected]])
    assert read_batch_and_quarantine(connection) == before == [(0, 2, 0, 2, 0, 0)]


def read_batch_and_quarantine(connection: Any) -> list[tuple[int, ...]]:
    with connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT batch_id, accepted, rejected, inserted, updated, (SELECT count(*) FROM quarantine.records)"
            " FROM analytics.batches"
        )
        return list(cursor.fetchall())


def test_a_batch_is_not_merged_if_postgresql_has_lost_the_one_before(connection: Any) -> None:
    rows = [user(random.Random(number), UUID(int=number), 1000 + number, str(number)) for number in (1, 2, 3)]
    with pytest.raises(UserError, match=r"^PostgreSQL has lost batches of users\.raw before the first one of a new"):
        store.merge_batch(connection, replace(batch(5), number=0), encode(rows[:1]), [])
    store.merge_batch(connection, batch(0), encode(rows[:1]), [])
    with pytest.raises(UserError, match=r"^PostgreSQL has lost micro-batch 1, which was merged: it was restored to"):
        store.merge_batch(connection, batch(2), encode(rows[2:]), [])
    with pytest.raises(UserError, match=r"^PostgreSQL has lost micro-batch 1"):
        store.mark_delivered(connection, batch(1))
    assert read_batch_and_quarantine(connection) == [(0, 1, 0, 1, 0, 0)]


def test_a_delivered_batch_marks_those_before_whose_marks_were_lost(connection: Any) -> None:
    for number in (0, 1):
        store.merge_batch(connection, batch(number), encode([user(random.Random(0), UUID(int=1), number + 1, "1")]), [])
    store.mark_delivered(connection, batch(1))
    with connection, connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM analytics.batches WHERE served_at IS NULL")
        assert cursor.fetchone() == (0,)
