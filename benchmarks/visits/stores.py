"""Real servers with the made-up users in them: what the pages read, written without the flow."""

import json
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from random import Random
from uuid import UUID

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from cassandra.cluster import Session
from pydantic import SecretStr

from benchmarks.cassandra_writer import REGISTERED_UNTIL
from benchmarks.visits.population import CHUNK, Chunk, chunks, counts
from insights.clients import connections
from insights.local.cassandra import CassandraServer
from insights.local.jars import ensure_jars, read_lock
from insights.local.java import find_java
from insights.local.kafka import KafkaServer
from insights.local.postgres import PostgresServer
from insights.local.process import Component
from insights.migrations.kafka_topics import ensure_topics
from insights.migrations.migrate_cassandra import migrate_cassandra
from insights.migrations.migrate_postgres import migrate_postgres
from insights.model.schema import CASSANDRA_TABLES
from insights.settings import (
    CassandraSettings,
    KafkaSettings,
    LocalSettings,
    PostgresSettings,
    StoreSettings,
    StreamSettings,
    load,
)
from insights.sinks.cassandra import CassandraWriter
from tests.helpers.served_users import table, user
from tests.helpers.support import eventually, free_port

BATCH = 500
"""Users of a batch of the stream."""
BATCHES = 20_000
"""One a second until now, as a stream has that never waits."""
REFUSED_OF = 1000
"""One record of so many is in quarantine."""
MESSAGES = 2000
ARRIVALS = 1000
WITH_CARD = timedelta(days=5)
"""Of those who registered last, who are the first of every list, the single user can be looked at."""
PATIENCE_SECONDS = 600


@contextmanager
def filled(data: Path, users: int) -> Iterator[tuple[StoreSettings, int]]:
    """The three servers with at least `users` users, and how many they are.

    Cassandra's are kept in `data`: what an earlier run wrote is not written again.

    Raises:
        UserError: Java or a jar is missing, or a server does not start.
    """
    java, jars = find_java(load(LocalSettings).java_home), load(LocalSettings).jars
    ensure_jars(read_lock(), jars, java)
    with ExitStack() as stack:
        fresh = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        postgres = PostgresServer(fresh, free_port())
        kafka = KafkaServer(fresh, free_port(), java=java, jars=jars, controller_port=free_port())
        cassandra = CassandraServer(data, free_port(), java=java, jars=jars, storage_port=free_port())
        for server in (postgres, kafka, cassandra):
            stack.enter_context(started(server))
        postgres.create_database("insights")
        stores = StoreSettings(
            PostgresSettings(port=postgres.port, user=postgres.user, password=SecretStr(postgres.password)),
            KafkaSettings(bootstrap_servers=kafka.bootstrap_servers),
            CassandraSettings(hosts=cassandra.host, port=cassandra.port, local_dc=cassandra.local_dc),
        )
        migrate_cassandra(stores.cassandra)
        users = fill_users(stores.cassandra, data / "users.json", users)
        now, counted = datetime.now(UTC), counts(users)
        fill_lately(stores.cassandra, counted, now)
        migrate_postgres(stores.postgres)
        fill_kafka(stores.kafka)
        fill_postgres(stores, users, counted)
        settle(stores.cassandra)
        yield stores, users


@contextmanager
def started(server: Component) -> Iterator[None]:
    """Runs the server for the length of a `with`."""
    server.start()
    try:
        server.wait_ready(PATIENCE_SECONDS)
        yield
    finally:
        server.stop()


def fill_users(settings: CassandraSettings, progress: Path, users: int) -> int:
    """Write the users that are not there yet; `progress` says how many are."""
    there: int = json.loads(progress.read_text())["users"] if progress.exists() else 0
    with connections.open_cassandra(settings) as session:
        writer, began = writer_of(session), time.monotonic()
        first = there // CHUNK * CHUNK
        for chunk in chunks(users, first) if users > there else ():
            write(writer, chunk)
            there = chunk.first + chunk.count
            progress.write_text(json.dumps({"users": there}))
            rate = (there - first) / (time.monotonic() - began)
            print(f"{there:,} of {users:,} users written, {rate:,.0f} a second", file=sys.stderr, flush=True)
    return there


def write(writer: CassandraWriter, chunk: Chunk) -> None:
    """The chunk's users by country and by month, and the single users of those who registered last."""
    rows = chunk.rows()
    for name in ("users_by_country", "users_by_registration_month"):
        writer.upsert(name, CASSANDRA_TABLES[name][1], rows, "version")
    since = pa.scalar(REGISTERED_UNTIL - WITH_CARD, pa.timestamp("ms", "UTC"))
    last = rows.filter(pc.greater_equal(rows["registered_at"], since)).to_pylist()
    columns, chance = CASSANDRA_TABLES["users_by_id"][1], Random(chunk.first)
    cards = []
    for row in last:
        fields = {name: row[name] for name in columns if name in row} | {"registered_year": int(row["registered_year"])}
        made_up = user(chance, UUID(row["user_id"]), row["version"], str(row["version"]))
        cards.append(made_up | fields)
    if cards:
        writer.upsert("users_by_id", columns, table(cards), "version")


def fill_lately(settings: CassandraSettings, counted: dict[str, dict[str, int]], now: datetime) -> None:
    """The counts, and the arrivals of the last minutes."""
    flat = [(name, value, found) for name, values in counted.items() for value, found in values.items()]
    names, values, founds = zip(*flat, strict=True)
    version = pa.array(np.full(len(flat), int(now.timestamp() * 1e6)))
    totals = pa.table({"dimension": names, "value": values, "count": founds, "version": version})
    arrivals = Chunk(0, ARRIVALS).rows().drop_columns("version")
    times = [now - timedelta(seconds=n / 5) for n in range(ARRIVALS)]
    arrivals = (
        arrivals.append_column("event_time", pa.array(times, pa.timestamp("ms", "UTC")))
        .append_column("hour", pa.array([f"{at:%Y-%m-%dT%H}" for at in times]))
        .append_column("version", version[:1].take(pa.array([0] * ARRIVALS)))
    )
    with connections.open_cassandra(settings) as session:
        writer = writer_of(session)
        session.execute(f"TRUNCATE {session.keyspace}.latest_arrivals", timeout=60)
        writer.upsert("user_counts", ("dimension", "value", "count"), totals, "version")
        writer.upsert("latest_arrivals", CASSANDRA_TABLES["latest_arrivals"][1], arrivals, "version")


def writer_of(session: Session) -> CassandraWriter:
    """The stream's own writer."""
    stream = load(StreamSettings)
    return CassandraWriter(session, in_flight=stream.cassandra_in_flight, batch_rows=stream.cassandra_batch_rows)


def fill_kafka(settings: KafkaSettings) -> None:
    """Two topics with as many messages as a look at the last ones needs."""
    ensure_topics(settings)
    producer = connections.make_kafka_producer(settings, "benchmark", {"log_level": 0})
    for topic in (settings.raw_topic, settings.quarantine_topic):
        for number in range(MESSAGES):
            value = {"email": f"user{number}@example.com", "about": "x" * 1100}
            producer.produce(topic, json.dumps(value).encode(), f"key-{number}", headers={"event_id": str(number)})
    producer.flush(60)


def fill_postgres(stores: StoreSettings, users: int, counted: dict[str, dict[str, int]]) -> None:
    """The same counts, and the pages, batches and refusals of a flow that brought the users and runs still."""
    refused = users // REFUSED_OF + 1
    with (
        closing(connections.connect_postgres(stores.postgres, "benchmark")) as connection,
        connection.cursor() as cursor,
    ):
        number = count()
        cursor.executemany(
            "INSERT INTO analytics.user_counts VALUES (%s, %s, %s, %s)",
            [(name, value, found, next(number)) for name, values in counted.items() for value, found in values.items()],
        )
        cursor.execute(PAGES, {"pages": users // 5000 + 1})
        cursor.execute(PUBLISHER, {"topic": stores.kafka.raw_topic, "published": users + refused})
        cursor.execute(MERGED, {"topic": stores.kafka.raw_topic, "batches": BATCHES, "batch": BATCH})
        cursor.execute(REFUSED, {"refused": refused, "topic": stores.kafka.raw_topic})
        connection.commit()
        connection.autocommit = True
        cursor.execute("ANALYZE")


PAGES = """
INSERT INTO staging.batches (batch_id, dag_id, run_id, seed, page, fetched, staged, duplicates, answer_sha256,
    answer_bytes, fetched_at, staged_at)
SELECT 'page-' || n, 'ingest_users', 'scheduled-' || n / 20, 'seed', mod(n, 20), 5000, 5000, 0, '', 1, at, at
FROM (SELECT n, now() - n * interval '10 seconds' AS at FROM generate_series(0, %(pages)s - 1) AS n) AS pages
"""
PUBLISHER = "INSERT INTO staging.publisher (name, published, moved_at) VALUES (%(topic)s, %(published)s, now())"
MERGED = """
INSERT INTO analytics.batches (query_id, batch_id, seq, offsets, read, accepted, rejected, inserted, updated,
    started_at, merged_at, served_at, event_times)
SELECT 'stream', %(batches)s - n, extract(epoch FROM at) * 1000000,
    jsonb_build_object(%(topic)s, jsonb_build_object('0', jsonb_build_array(0, 900), '1', jsonb_build_array(0, 900))),
    %(batch)s, %(batch)s, 0, %(batch)s, 0, at - interval '400 ms', at, at + interval '300 ms',
    array(SELECT at - interval '3 seconds' + p * interval '20 ms' FROM generate_series(0, 100) AS p)
FROM (SELECT n, now() - n * interval '1 second' AS at FROM generate_series(0, %(batches)s - 1) AS n) AS batches
"""
REFUSED = """
INSERT INTO quarantine.records (origin, event_id, reason, field, detail, version, event_time, size, sha256, payload,
    quarantined_at)
SELECT %(topic)s || '/0/' || n, n, (array['BAD_EMAIL', 'SCHEMA', 'FUTURE_DATE', 'MISSING_FIELD'])[1 + mod(n, 4)],
    'email', 'is no address', n, at, 1200, '', convert_to(repeat('x', 1200), 'UTF8'), at
FROM (SELECT n, now() - random() * interval '7 days' AS at FROM generate_series(1, %(refused)s) AS n) AS refused
"""


def settle(settings: CassandraSettings) -> None:
    """Return when Cassandra merges no more files: that takes turns with the reads."""
    with connections.open_cassandra(settings) as session:
        eventually(
            lambda: not list(session.execute("SELECT task_id FROM system_views.sstable_tasks")),
            PATIENCE_SECONDS,
            "Cassandra went on merging files",
            1,
        )
