"""Hidden secrets, from the source and from another producer, are in no table, topic, log or page."""

import logging
import os
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any
from uuid import UUID

import psycopg2
import pytest
from psycopg2 import sql

from dashboard.data import messages
from insights.clients import connections
from insights.local.process import Component
from insights.queries import pipeline
from insights.settings import KafkaSettings, StoreSettings
from insights.source.envelope import PageRequest, unpack_page
from tests.helpers.hidden_secrets import HiddenSecret, find_canaries, hide_secret
from tests.helpers.publisher_process import run_publisher, wait_until_published
from tests.helpers.staged_pages import read_topic, run_sql, stage_page
from tests.helpers.stream_process import Stream

CASES = int(os.environ.get("SECRETS", "2000"))
"""Hidden secrets. `SECRETS=10000` takes some minutes."""
BATCH = 1000
USER_ID = re.compile(rb'"uuid": ?"([0-9a-f-]{36})"')
SHOWN = 30
"""Messages of each topic that the dashboard shows whole."""


@pytest.fixture
def hidden() -> list[HiddenSecret]:
    random = Random(20_000 + CASES)
    return [hide_secret(random, str(UUID(int=number + 1))) for number in range(CASES)]


def stage_records(stores: StoreSettings, hidden: list[HiddenSecret]) -> int:
    """Stage the values that are records as a page of the source, publish them, and return their number."""
    values = [item.value for item in hidden if item.fits_page]
    info = b'{"seed":"s","page":1,"version":"1.4"}'
    body = b'{"results":[' + b",".join(values) + b'],"info":' + info + b"}"
    page = unpack_page(body, PageRequest("s", 1, len(values)))
    assert page.rejected == []
    stage_page(stores.postgres, page.records)
    with run_publisher(stores.postgres, stores.kafka):
        wait_until_published(stores.postgres, len(values))
    return len(values)


def produce_foreign(kafka: KafkaSettings, hidden: list[HiddenSecret], first: int) -> None:
    """Produce the values from `first` as another producer would, with a secret in some keys and headers, too."""
    producer = connections.make_kafka_producer(kafka, "tests")
    for number, item in enumerate(hidden[first : first + BATCH], first):
        odd = item.value[:300] if number % 10 == 0 else None
        headers = [("batch_id", odd), ("note", odd), ("password", odd)] if odd else []
        producer.produce(kafka.raw_topic, item.value, odd or str(UUID(int=number + 1)).encode(), headers=headers)
        producer.poll(0)
    assert producer.flush(60) == 0


def find_in_tables(stores: StoreSettings) -> Iterator[bytes]:
    with psycopg2.connect(**stores.postgres.connection("tests")) as connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT table_schema, table_name FROM information_schema.tables"
            " WHERE table_schema NOT IN ('pg_catalog', 'information_schema') AND table_type = 'BASE TABLE'"
        )
        for schema, table in cursor.fetchall():
            cursor.execute(sql.SQL("SELECT * FROM {}.{}").format(sql.Identifier(schema), sql.Identifier(table)))
            for row in cursor:
                yield from find_canaries(b"".join(map(to_bytes, row)))
    with connections.open_cassandra(stores.cassandra) as session:
        tables = session.execute(
            "SELECT table_name FROM system_schema.tables WHERE keyspace_name = %s", (stores.cassandra.keyspace,)
        )
        for (table,) in tables:
            for row in session.execute(f"SELECT * FROM {table}"):
                yield from find_canaries(str(row).encode())


def find_in_topic(kafka: KafkaSettings, topic: str) -> Iterator[bytes]:
    for message in read_topic(kafka, topic):
        headers = b" ".join(to_bytes(value) for _, value in message.headers() or ())
        yield from find_canaries(b" ".join((to_bytes(message.key()), to_bytes(message.value()), headers)))


def find_on_pages(stores: StoreSettings) -> Iterator[bytes]:
    for topic in (stores.kafka.raw_topic, stores.kafka.quarantine_topic):
        before: messages.Position = ()
        whole = 0
        while True:
            page = messages.fetch_page(stores.kafka, topic, None, before, 500)
            assert page.complete
            yield from find_canaries(str(page.messages).encode())
            for item in page.messages[: max(0, SHOWN - whole)]:
                whole += 1
                found = messages.fetch_message(stores.kafka, topic, item.partition, item.offset)
                yield from find_canaries(str(found).encode())
            if not page.older:
                break
            before = page.older
    with psycopg2.connect(**stores.postgres.connection("tests")) as connection, connection.cursor() as cursor:
        for reason in pipeline.count_open_quarantine(cursor):
            yield from find_canaries(str(pipeline.list_quarantine_samples(cursor, reason, CASES)).encode())


def assert_repeated_keys_are_rejected(stores: StoreSettings, hidden: list[HiddenSecret]) -> None:
    """Assert that a record that repeats a key has the same outcome from the source and from another producer."""
    ids = [str(UUID(int=number + 1)) for number, item in enumerate(hidden) if item.shape == "repeated"]
    served = run_sql(stores.postgres, "SELECT user_id FROM analytics.users WHERE user_id = ANY(%s::uuid[])", ids)
    assert served == []
    rows = run_sql(stores.postgres, "SELECT payload FROM quarantine.records WHERE reason = 'SCHEMA'")
    rejected = Counter(found[1].decode() for (payload,) in rows if (found := USER_ID.search(payload)))
    assert {user_id: rejected[user_id] for user_id in ids} == dict.fromkeys(ids, 2)


def to_bytes(value: Any) -> bytes:
    return bytes(value) if isinstance(value, bytes | memoryview) else str(value).encode("utf-8", "backslashreplace")


def test_no_secret_is_in_a_table_topic_log_or_page(
    own_stores: StoreSettings,
    hidden: list[HiddenSecret],
    tmp_path: Path,
    jars: Path,
    postgres_server: Component,
    kafka_server: Component,
    cassandra_server: Component,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG, "insights")
    stores = own_stores
    staged = stage_records(stores, hidden)
    assert staged > CASES // 3
    assert list(find_in_topic(stores.kafka, stores.kafka.raw_topic)) == []

    stream = Stream(tmp_path, jars, stores.postgres, stores.kafka, stores.cassandra)
    delivered = "SELECT coalesce(sum(read), 0) FROM analytics.batches WHERE served_at IS NOT NULL"
    with stream.running() as running:
        running.wait(lambda: run_sql(stores.postgres, delivered)[0][0] == staged)
        for first in range(0, CASES, BATCH):
            produce_foreign(stores.kafka, hidden, first)
            expected = staged + min(CASES, first + BATCH)
            running.wait(lambda expected=expected: run_sql(stores.postgres, delivered)[0][0] == expected)

    [(users,)] = run_sql(stores.postgres, "SELECT count(*) FROM analytics.users")
    [(rejected,)] = run_sql(stores.postgres, "SELECT count(*) FROM quarantine.records WHERE payload IS NOT NULL")
    assert users > CASES // 10
    assert_repeated_keys_are_rejected(stores, hidden)
    assert rejected > CASES // 3
    assert list(find_in_tables(stores)) == []
    assert list(find_in_topic(stores.kafka, stores.kafka.quarantine_topic)) == []
    assert list(find_on_pages(stores)) == []
    logs = [stream.log, *(server.log for server in (postgres_server, kafka_server, cassandra_server))]
    logs += [path for path in stream.checkpoint.rglob("*") if path.is_file()]
    assert [path for path in logs if find_canaries(path.read_bytes())] == []
    assert find_canaries(caplog.text.encode()) == []
