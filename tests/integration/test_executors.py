"""The work of the executors: killed, repeated, twice at once, late, and shared by the executors of a cluster."""

import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from confluent_kafka import Producer
from prometheus_client.parser import text_string_to_metric_families

from insights.clients import connections
from insights.settings import CassandraSettings, KafkaSettings, PostgresSettings
from insights.sinks import delivery, executor_writes, postgres, user_tables
from insights.sinks.executor_writes import write_range
from insights.sinks.user_ranges import ALL_USERS
from tests.helpers.accepted_users import encode
from tests.helpers.raw_users import user as raw_user
from tests.helpers.staged_pages import fetch, run_sql
from tests.helpers.store_delivery import RealStores, assert_ledger_closes, deliver, identify, make_user, place
from tests.helpers.stream_process import (
    Running,
    Stream,
    assert_cassandra_equals,
    read_postgres_counts,
    read_postgres_users,
    set_task_window,
)
from tests.helpers.warm_spark import WarmSpark

WORKER = "insights.sinks.worker_daemon"
EXECUTOR = "CoarseGrainedExecutorBackend"


@pytest.fixture
def stores(connection: Any, cassandra: CassandraSettings) -> Iterator[RealStores]:
    with connections.open_cassandra(cassandra) as session:
        yield RealStores(connection, session)


@pytest.fixture
def make_stream(
    tmp_path: Path, jars: Path, postgres: PostgresSettings, kafka: KafkaSettings, cassandra: CassandraSettings
) -> Callable[..., Stream]:
    return partial(Stream, tmp_path, jars, postgres, kafka, cassandra)


def produce_users(kafka: KafkaSettings, count: int) -> None:
    producer = Producer(kafka.client())
    for number in range(count):
        uid = str(UUID(int=(number % 16 << 124) + number + 1))
        producer.produce(kafka.raw_topic, json.dumps(raw_user(login__uuid=uid)).encode(), uid)
    producer.flush(30)


def assert_delivered(connection: Any, cassandra: CassandraSettings, count: int) -> None:
    users = read_postgres_users(connection)
    assert len(users) == count
    assert_cassandra_equals(cassandra, users, read_postgres_counts(connection))


def count_delivered(postgres_settings: PostgresSettings) -> int:
    query = "SELECT coalesce(sum(accepted), 0)::int FROM analytics.batches WHERE served_at IS NOT NULL"
    return int(run_sql(postgres_settings, query)[0][0])


def count_completed_tasks(running: Running) -> dict[str, float]:
    """The tasks that each executor has completed, according to the stream's metrics."""
    return {
        sample.labels["executor_id"]: sample.value
        for family in text_string_to_metric_families(running.get("/metrics"))
        for sample in family.samples
        if sample.name == "insights_stream_executor_completed_tasks_total"
    }


def test_the_stream_goes_on_when_processes_of_executors_die(
    make_stream: Callable[..., Stream],
    postgres: PostgresSettings,
    kafka: KafkaSettings,
    cassandra: CassandraSettings,
    connection: Any,
    warm_spark: WarmSpark,
) -> None:
    stream = make_stream(warm_spark, INSIGHTS_STREAM_MAX_OFFSETS_PER_TRIGGER="60")
    produce_users(kafka, 240)
    # A batch visits the window three times, so every second batch kills the process that writes it, and repeats it.
    with stream.running(set_task_window("cassandra.users_written:5")) as running:
        running.wait(lambda: count_delivered(postgres) == 240)
    assert "Python worker exited unexpectedly (crashed)" in warm_spark.log.read_text()
    assert len(fetch(connection, "SELECT batch_id FROM analytics.batches")) >= 4
    assert_delivered(connection, cassandra, 240)


def test_every_executor_of_a_cluster_transforms_and_writes(
    make_stream: Callable[..., Stream],
    postgres: PostgresSettings,
    kafka: KafkaSettings,
    cassandra: CassandraSettings,
    connection: Any,
) -> None:
    count = 2 * executor_writes.LEAST_ROWS
    stream = make_stream(INSIGHTS_STREAM_MASTER="local-cluster[2,1,1024]")
    produce_users(kafka, count)
    with stream.running() as running:
        running.wait(lambda: count_delivered(postgres) == count)
        executors = [child for child in running.list_processes() if EXECUTOR in " ".join(child.cmdline())]
        workers = [
            [child for child in executor.children(recursive=True) if WORKER in " ".join(child.cmdline())]
            for executor in executors
        ]
        running.wait(lambda: sum(tasks > 0 for tasks in count_completed_tasks(running).values()) == 2)
        completed = count_completed_tasks(running)
        busy = [sum(worker.cpu_times().user > 0 for worker in group) for group in workers]
    assert len(executors) == 2
    assert {executor for executor, tasks in completed.items() if tasks} == {"0", "1"}
    assert completed["driver"] == 0
    assert all(busy), "an executor ran no Python process"
    assert "falling behind" not in stream.log.read_text()
    assert_delivered(connection, cassandra, count)


def test_two_attempts_of_a_task_at_once_write_the_same(
    stores: RealStores, cassandra: CassandraSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, moved = place(0, [make_user(n, 1) for n in range(6)]), make_user(2, 5, country_code="FR")
    deliver(stores, 0, first)
    second = place(1, [moved, make_user(7, 5)])
    merged = postgres.merge_batch(stores.connection, identify(1), encode(second), [])
    write_users = user_tables.write_users

    def write_beside_a_twin(*arguments: Any, **options: Any) -> Any:
        monkeypatch.setattr(user_tables, "write_users", write_users)
        write_range(stores, [merged.seq], ALL_USERS, skip_refused=False)
        return write_users(*arguments, **options)

    monkeypatch.setattr(user_tables, "write_users", write_beside_a_twin)
    assert not delivery.write_merged(stores, [merged.seq], 2, skip_refused=False)
    stores.with_postgres(lambda connection: postgres.mark_delivered(connection, identify(1)))
    assert_ledger_closes(stores.connection, cassandra, {row["event_id"] for row in first + second})


def test_an_attempt_that_writes_after_later_batches_changes_nothing(
    stores: RealStores, cassandra: CassandraSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches = [place(0, [make_user(1, 1), make_user(2, 1)]), place(1, [make_user(1, 5, country_code="FR")])]
    back = place(2, [make_user(1, 9)])
    late: list[Any] = []
    write_users = user_tables.write_users

    def keep(*arguments: Any, **options: Any) -> Any:
        late.append((arguments, options))
        return write_users(*arguments, **options)

    monkeypatch.setattr(user_tables, "write_users", keep)
    for number, rows in enumerate([*batches, back]):
        deliver(stores, number, rows)
    for arguments, options in late:
        write_users(*arguments, **options)
    assert_ledger_closes(stores.connection, cassandra, {row["event_id"] for rows in (*batches, back) for row in rows})
