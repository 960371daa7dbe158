"""Real servers filled with generated users: the data that the pages read, written without the pipeline."""

import json
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from cassandra.cluster import Session
from pydantic import SecretStr

from benchmarks.common.population import CHUNK, REGISTERED_UNTIL, Chunk, count_users, generate_chunks
from benchmarks.common.servers import free_port, run_servers, wait_until
from insights.clients import connections
from insights.local.cassandra import CassandraServer
from insights.local.jars import ensure_jars, read_lock
from insights.local.java import find_java
from insights.local.kafka import KafkaServer
from insights.local.postgres import PostgresServer
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
from insights.sinks.user_tables import add_derived_columns

BATCH = 500
"""Users per batch of the stream."""
BATCHES = 20_000
"""One per second until now, as if the stream had never been idle."""
RECORDS_PER_REJECTED = 1000
"""One in this many records is in quarantine."""
MESSAGES = 2000
ARRIVALS = 1000
CARD_PERIOD = timedelta(days=5)
"""Users who registered in the last days, which the lists show first, are also in the table of single users."""


@contextmanager
def open_filled_stores(data: Path, users: int) -> Iterator[tuple[StoreSettings, int]]:
    """Run the three servers with at least `users` users; yields their settings and the number of users.

    Cassandra's data is kept in `data`, so that later runs write only the users that are missing.

    Raises:
        UserError: Java or a jar is missing, or a server does not start.
    """
    java, jars = find_java(load(LocalSettings).java_home), load(LocalSettings).jars
    ensure_jars(read_lock(), jars, java)
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        postgres = PostgresServer(scratch, free_port())
        kafka = KafkaServer(scratch, free_port(), java=java, jars=jars, controller_port=free_port())
        cassandra = CassandraServer(data, free_port(), java=java, jars=jars, storage_port=free_port())
        stack.enter_context(run_servers(postgres, kafka, cassandra))
        postgres.create_database("insights")
        stores = StoreSettings(
            PostgresSettings(port=postgres.port, user=postgres.user, password=SecretStr(postgres.password)),
            KafkaSettings(bootstrap_servers=kafka.bootstrap_servers),
            CassandraSettings(hosts=cassandra.host, port=cassandra.port, local_dc=cassandra.local_dc),
        )
        migrate_cassandra(stores.cassandra)
        users = fill_users(stores.cassandra, data / "users.json", users)
        now, counts = datetime.now(UTC), count_users(users)
        fill_counts(stores.cassandra, counts, now)
        migrate_postgres(stores.postgres)
        fill_kafka(stores.kafka)
        fill_postgres(stores, users, counts)
        wait_for_compactions(stores.cassandra)
        yield stores, users


def fill_users(settings: CassandraSettings, progress: Path, users: int) -> int:
    """Write the users that are missing and return the total, which is also stored in the file `progress`."""
    written: int = json.loads(progress.read_text())["users"] if progress.exists() else 0
    with connections.open_cassandra(settings) as session:
        writer, started = make_writer(session), time.monotonic()
        first = written // CHUNK * CHUNK
        for chunk in generate_chunks(users, first) if users > written else ():
            write_chunk(writer, chunk)
            written = chunk.first + chunk.count
            progress.write_text(json.dumps({"users": written}))
            rate = (written - first) / (time.monotonic() - started)
            print(f"{written:,} of {users:,} users written, {rate:,.0f} per second", file=sys.stderr, flush=True)
    return written


def write_chunk(writer: CassandraWriter, chunk: Chunk) -> None:
    """Write the chunk's users by country and by month, and the single users of `CARD_PERIOD`."""
    rows = add_derived_columns(chunk.rows())
    for name in ("user_summaries_by_country", "user_summaries_by_month"):
        writer.upsert(name, CASSANDRA_TABLES[name][1], rows, "version")
    since = pa.scalar(REGISTERED_UNTIL - CARD_PERIOD, pa.timestamp("ms", "UTC"))
    recent = chunk.accepted().filter(pc.greater_equal(rows["registered_at"], since))
    if recent.num_rows:
        profiles = add_derived_columns(recent.combine_chunks())
        writer.upsert("user_profiles_by_id", CASSANDRA_TABLES["user_profiles_by_id"][1], profiles, "version")


def fill_counts(settings: CassandraSettings, counts: dict[str, dict[str, int]], now: datetime) -> None:
    """Write the counts, and the arrivals of the last minutes."""
    rows = [(name, value, number) for name, numbers in counts.items() for value, number in numbers.items()]
    names, values, totals_by_value = zip(*rows, strict=True)
    version = pa.array(np.full(len(rows), int(now.timestamp() * 1e6)))
    totals = pa.table({"dimension": names, "value": values, "count": totals_by_value, "version": version})
    arrivals = Chunk(0, ARRIVALS).rows().drop_columns("version")
    times = [now - timedelta(seconds=n / 5) for n in range(ARRIVALS)]
    arrivals = (
        arrivals.append_column("event_time", pa.array(times, pa.timestamp("ms", "UTC")))
        .append_column("hour", pa.array([f"{at:%Y-%m-%dT%H}" for at in times]))
        .append_column("version", version[:1].take(pa.array([0] * ARRIVALS)))
    )
    with connections.open_cassandra(settings) as session:
        writer = make_writer(session)
        session.execute(f"TRUNCATE {session.keyspace}.latest_arrivals", timeout=60)
        writer.upsert("user_counts", ("dimension", "value", "count"), totals, "version")
        writer.upsert("latest_arrivals", CASSANDRA_TABLES["latest_arrivals"][1], arrivals, "version")


def make_writer(session: Session) -> CassandraWriter:
    """A writer with the stream's settings."""
    stream = load(StreamSettings)
    return CassandraWriter(session, in_flight=stream.cassandra_in_flight, batch_rows=stream.cassandra_batch_rows)


def fill_kafka(settings: KafkaSettings) -> None:
    """Publish as many messages to both topics as the Topics page shows."""
    ensure_topics(settings)
    producer = connections.make_kafka_producer(settings, "benchmark", {"log_level": 0})
    for topic in (settings.raw_topic, settings.quarantine_topic):
        for number in range(MESSAGES):
            value = {"email": f"user{number}@example.com", "about": "x" * 1100}
            producer.produce(topic, json.dumps(value).encode(), f"key-{number}", headers={"event_id": str(number)})
    producer.flush(60)


def fill_postgres(stores: StoreSettings, users: int, counts: dict[str, dict[str, int]]) -> None:
    """Write the same counts, and the pages, batches and quarantined records of a running pipeline with these users."""
    rejected = users // RECORDS_PER_REJECTED + 1
    with (
        closing(connections.connect_postgres(stores.postgres, "benchmark")) as connection,
        connection.cursor() as cursor,
    ):
        seq = count()
        cursor.executemany(
            "INSERT INTO analytics.user_counts VALUES (%s, %s, %s, %s)",
            [(name, value, number, next(seq)) for name, numbers in counts.items() for value, number in numbers.items()],
        )
        cursor.execute(PAGES, {"pages": users // 5000 + 1})
        cursor.execute(PUBLISHER, {"topic": stores.kafka.raw_topic, "published": users + rejected})
        cursor.execute(MERGED, {"topic": stores.kafka.raw_topic, "batches": BATCHES, "batch": BATCH})
        cursor.execute(REJECTED, {"rejected": rejected, "topic": stores.kafka.raw_topic})
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
REJECTED = """
INSERT INTO quarantine.records (origin, event_id, reason, field, detail, version, event_time, size, sha256, payload,
    quarantined_at)
SELECT %(topic)s || '/0/' || n, n, (array['BAD_EMAIL', 'SCHEMA', 'FUTURE_DATE', 'MISSING_FIELD'])[1 + mod(n, 4)],
    'email', 'is not an address', n, at, 1200, '', convert_to(repeat('x', 1200), 'UTF8'), at
FROM (SELECT n, now() - random() * interval '7 days' AS at FROM generate_series(1, %(rejected)s) AS n) AS rejected
"""


def wait_for_compactions(settings: CassandraSettings) -> None:
    """Return when Cassandra has no compaction left, which would slow down reads."""
    with connections.open_cassandra(settings) as session:
        wait_until(
            lambda: not list(session.execute("SELECT task_id FROM system_views.sstable_tasks")),
            "Cassandra had not finished its compactions",
            pause=1,
        )
