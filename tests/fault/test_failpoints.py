"""Crash in every window between two durable steps once, start again, and let the checker judge what is stored."""

import json
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from insights.clients import connections
from insights.clients.refill_record import record_delivered_seq
from insights.migrations.migrate_cassandra import migrate_cassandra
from insights.settings import StoreSettings
from insights.simulator import create_app
from tests.fault.checker import describe
from tests.fault.flow_under_test import PUBLISH, FlowUnderTest
from tests.fault.recording_source import serve_recorded
from tests.fault.windows import (
    DELIVERING,
    LOSING,
    MERGING,
    MOVING,
    ORPHANING,
    PRUNING,
    PUBLISHING,
    RECOUNTING,
    REDRIVING,
    REFILLING,
    REPUBLISHING,
    RESTORING,
    STAGING,
    WITHDRAWING,
    WRITING,
)
from tests.helpers.simulator_server import serving
from tests.helpers.staged_pages import run_sql
from tests.helpers.stream_process import assert_cassandra_equals, read_postgres_counts, read_postgres_users
from tests.helpers.support import REPOSITORY
from tests.helpers.warm_spark import WarmSpark

PAGE_SIZE = 120
INSIGHTS = str(REPOSITORY / ".venv" / "bin" / "insights")
RETENTION_DAYS = 14
REDRIVE = (INSIGHTS, "redrive", "--reason", "UNKNOWN_COUNTRY", "--patch", json.dumps({"nat": "DE"}))


@pytest.fixture(scope="module")
def flow(
    tmp_path_factory: pytest.TempPathFactory, jars: Path, own_stores: StoreSettings, warm_spark: WarmSpark
) -> Iterator[FlowUnderTest]:
    """One flow for all tests of this module, which continue each other in their order."""
    folder = tmp_path_factory.mktemp("flow")
    with serving(create_app()) as simulator, serve_recorded(simulator) as (source, address):
        yield FlowUnderTest(folder, jars, own_stores, source, address, warm_spark)


@pytest.mark.parametrize("window", STAGING)
def test_a_crash_while_a_page_is_staged(flow: FlowUnderTest, window: str) -> None:
    command = ("-m", "tests.fault.programs", "stage", f"seed-{window}", "1,2", str(PAGE_SIZE))
    flow.crash(command, window)
    flow.run(command)
    flow.awaited |= {name_page(f"seed-{window}", page) for page in (1, 2)}


@pytest.mark.parametrize("window", PUBLISHING)
def test_a_crash_while_a_batch_is_published(flow: FlowUnderTest, window: str) -> None:
    flow.run(("-m", "tests.fault.programs", "stage", f"seed-{window}", "1", str(PAGE_SIZE)))
    flow.awaited.add(name_page(f"seed-{window}", 1))
    flow.crash(PUBLISH, window, INSIGHTS_PUBLISHER_BATCH_ROWS="100")


def test_the_publisher_resumes(flow: FlowUnderTest) -> None:
    flow.publish_all()


@pytest.mark.parametrize("window", MERGING)
def test_a_crash_while_a_batch_is_merged(flow: FlowUnderTest, window: str) -> None:
    flow.crash_stream(window)


@pytest.mark.parametrize("window", WRITING)
def test_the_processes_of_executors_crash_while_they_write_users(flow: FlowUnderTest, window: str) -> None:
    flow.crash_executors(window)


@pytest.mark.parametrize("window", DELIVERING)
def test_a_crash_while_a_batch_is_delivered(flow: FlowUnderTest, window: str) -> None:
    flow.crash_stream(window)


def test_a_crash_while_a_user_moves(flow: FlowUnderTest) -> None:
    flow.deliver_all()
    move_users(flow, 12)
    for window in MOVING:
        flow.crash_executors(window)


@pytest.mark.parametrize("window", REPUBLISHING)
def test_a_crash_during_a_redrive_and_a_replay(flow: FlowUnderTest, window: str) -> None:
    now = datetime.now(UTC)
    replay = (INSIGHTS, "replay", "--from", (now - timedelta(hours=1)).isoformat(), "--to", now.isoformat())
    flow.crash(REDRIVE, window)
    flow.crash(replay, window)


@pytest.mark.parametrize("window", REDRIVING)
def test_a_crash_after_a_redrive_is_recorded(flow: FlowUnderTest, window: str) -> None:
    flow.crash(REDRIVE, window)


@pytest.mark.parametrize("window", RECOUNTING)
def test_a_crash_during_a_recount(flow: FlowUnderTest, window: str) -> None:
    falsify_counts(flow.stores)
    flow.crash((INSIGHTS, "recount"), window)


def test_nothing_is_lost_doubled_or_garbled(flow: FlowUnderTest) -> None:
    flow.run((INSIGHTS, "recount"))
    flow.deliver_all()
    anomalies = flow.check()
    assert not anomalies, describe(anomalies)
    flow.run((INSIGHTS, "check", "--wait", "10"))


def test_a_crash_while_the_stream_goes_on_behind_messages_that_are_gone(flow: FlowUnderTest) -> None:
    flow.publish_page("seed-merged-only", PAGE_SIZE)
    flow.crash_stream("merge.committed")
    flow.delete_messages()
    for window in ORPHANING:
        flow.crash_stream(window)
    flow.publish_page("seed-never-read", PAGE_SIZE)
    flow.delete_messages()
    for window in LOSING:
        flow.crash((INSIGHTS, "skip-lost", "--yes"), window)
    flow.publish_page("seed-read-after-the-loss", PAGE_SIZE)
    flow.deliver_users()
    with closing(connections.connect_postgres(flow.stores.postgres, "tests")) as reader:
        users, counts = read_postgres_users(reader), read_postgres_counts(reader)
    assert_cassandra_equals(flow.stores.cassandra, users, counts)


def test_a_crash_while_cassandra_is_filled_again(flow: FlowUnderTest) -> None:
    cassandra = flow.stores.cassandra
    flow.publish_page("seed-before-the-loss-of-cassandra", PAGE_SIZE)
    flow.deliver_users()
    [(earlier,)] = run_sql(flow.stores.postgres, "SELECT seq FROM analytics.batches ORDER BY seq DESC OFFSET 1 LIMIT 1")
    with connections.open_cassandra(cassandra) as session:
        record_delivered_seq(session, earlier)
    for window in RESTORING:
        flow.crash_stream(window)
    with connections.open_cassandra(cassandra, use_keyspace=False) as session:
        session.execute(f'DROP KEYSPACE "{cassandra.keyspace}"', timeout=60)
    migrate_cassandra(cassandra)
    for window in REFILLING:
        flow.crash_stream(window)
    flow.publish_page("seed-after-the-loss-of-cassandra", PAGE_SIZE)
    flow.deliver_users()
    with closing(connections.connect_postgres(flow.stores.postgres, "tests")) as reader:
        users, counts = read_postgres_users(reader), read_postgres_counts(reader)
    assert users
    assert_cassandra_equals(cassandra, users, counts)


@pytest.mark.parametrize("window", WITHDRAWING)
def test_a_crash_while_a_refused_record_is_withdrawn(flow: FlowUnderTest, window: str) -> None:
    refuse = ("-m", "tests.fault.programs", "refuse")
    flow.crash(refuse, window)
    flow.run(refuse)
    quarantined = "SELECT event_id, field FROM quarantine.records WHERE reason = 'SINK_REFUSED'"
    assert run_sql(flow.stores.postgres, quarantined) == [("refused", "Cassandra")]
    with closing(connections.connect_postgres(flow.stores.postgres, "tests")) as reader:
        users, counts = read_postgres_users(reader), read_postgres_counts(reader)
    assert {"taken"} == {row["event_id"] for row in users.values()} & {"taken", "refused"}
    assert_cassandra_equals(flow.stores.cassandra, users, counts)


def test_a_crash_during_retention_forgets_no_row(flow: FlowUnderTest) -> None:
    staged, read = count_rows(flow.stores)
    for window in PRUNING:
        flow.crash(("-m", "tests.fault.programs", "prune", str(RETENTION_DAYS + 2)), window)
    flow.run(("-m", "tests.fault.programs", "prune", str(RETENTION_DAYS + 2)))
    [(pruned, left)] = run_sql(
        flow.stores.postgres,
        "SELECT (SELECT sum(row_count)::int FROM staging.pruned), (SELECT count(*) FROM staging.users)",
    )
    assert (pruned, left) == (staged, 0)
    assert count_rows(flow.stores) == (0, read)


def name_page(seed: str, page: int) -> str:
    """The batch id of a page."""
    return f"{seed}/{page}?results={PAGE_SIZE}"


def count_rows(stores: StoreSettings) -> tuple[int, int]:
    """The number of staged rows, and of the messages that batches have read, deleted batches included."""
    [(staged, read)] = run_sql(
        stores.postgres,
        "SELECT (SELECT count(*) FROM staging.users), (SELECT sum(read)::int FROM analytics.batches)"
        " + (SELECT coalesce(sum(read), 0)::int FROM analytics.pruned_batches)",
    )
    return staged, read


def move_users(flow: FlowUnderTest, number: int) -> None:
    """Send newer records of users, in another country and registered at another time, as a foreign producer may."""
    rows = run_sql(
        flow.stores.postgres,
        "SELECT s.user_key::text, s.payload::text, u.country_code FROM staging.users AS s"
        " JOIN analytics.users AS u ON u.user_id = s.user_key ORDER BY s.user_key LIMIT %s",
        number,
    )
    kafka = flow.stores.kafka
    producer = connections.make_kafka_producer(kafka, "tests")

    def note(error: object, message: object) -> None:
        assert error is None
        flow.foreign.add(f"{message.topic()}/{message.partition()}/{message.offset()}")  # type: ignore[attr-defined]

    for key, payload, country in rows:
        changed = json.loads(payload) | {
            "nat": "NO" if country != "NO" else "DE",
            "registered": {"date": "2020-02-29T00:00:00.000Z"},
        }
        producer.produce(kafka.raw_topic, json.dumps(changed), key, on_delivery=note)
    assert producer.flush(30) == 0
    assert len(flow.foreign) == number


def falsify_counts(stores: StoreSettings) -> None:
    """Change a count in both stores, and add one to Cassandra that PostgreSQL does not know."""
    run_sql(stores.postgres, "UPDATE analytics.user_counts SET count = count + 7 WHERE dimension = 'gender'")
    with connections.open_cassandra(stores.cassandra) as session:
        session.execute("INSERT INTO user_counts (dimension, value, count) VALUES ('gender', 'unknown', 3)")
