"""Messages that leave the topic before the stream has read them, and a topic that is deleted and created again."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from importlib import import_module
from uuid import UUID

import pytest
from psycopg2.extensions import connection as PgConnection
from typer.testing import CliRunner, Result

from insights.cli import app
from insights.clients.kafka_admin import get_admin, read_watermarks
from insights.ledger.check import check_ledger
from insights.ledger.hops import Hop, LedgerState
from insights.repair.replay import ReplayPeriod, replay
from insights.settings import KafkaSettings, StoreSettings
from tests.helpers import raw_users
from tests.helpers.fresh_stores import recreate_topic
from tests.helpers.publisher_process import run_publisher
from tests.helpers.staged_pages import delete_messages, fetch, stage_page
from tests.helpers.stream_process import (
    CRASHED,
    Running,
    Stream,
    assert_cassandra_equals,
    read_postgres_counts,
    read_postgres_users,
)
from tests.helpers.support import eventually


def publish_users(stores: StoreSettings, first: int, count: int) -> None:
    """Stage users with consecutive numbers on a page, and run the publisher until the topic has them."""
    records = [
        json.dumps(raw_users.user(login__uuid=str(UUID(int=number)))).encode() for number in range(first, first + count)
    ]
    before = read_ends(stores.kafka)
    stage_page(stores.postgres, records, page=first)
    with run_publisher(stores.postgres, stores.kafka):
        eventually(lambda: sum(read_ends(stores.kafka).values()) == sum(before.values()) + count, 30)


def read_ends(kafka: KafkaSettings) -> Mapping[int, int]:
    return {part: high for part, (_, high) in read_watermarks(get_admin(kafka), kafka.raw_topic).items()}


def wait_until_read(run: Running, connection: PgConnection, users: int) -> None:
    run.wait(lambda: len(read_postgres_users(connection)) == users and count_undelivered(connection) == 0)


def count_undelivered(connection: PgConnection) -> int:
    [(count,)] = fetch(connection, "SELECT count(*) FROM analytics.batches WHERE served_at IS NULL")
    return int(count)


def check_hops(stores: StoreSettings) -> dict[str, Hop]:
    return {hop.name: hop for hop in check_ledger(stores).hops}


def list_broken(hops: Mapping[str, Hop]) -> list[str]:
    return [name for name, hop in hops.items() if hop.state is LedgerState.BROKEN]


def skip_lost(stores: StoreSettings, monkeypatch: pytest.MonkeyPatch, *arguments: str, answer: str = "") -> Result:
    monkeypatch.setattr(import_module("insights.cli.skip_lost"), "load_stores", lambda: stores)
    return CliRunner().invoke(app, ["skip-lost", *arguments], input=answer)


def assert_stores_agree(stores: StoreSettings, connection: PgConnection) -> None:
    assert_cassandra_equals(stores.cassandra, read_postgres_users(connection), read_postgres_counts(connection))


def test_a_loss_is_named_skipped_on_request_and_brought_back_by_a_replay(
    stores: StoreSettings, stream: Stream, connection: PgConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    started_at = datetime.now(UTC) - timedelta(seconds=1)
    publish_users(stores, 1, 40)
    with stream.running() as run:
        wait_until_read(run, connection, 40)
    read = read_ends(stores.kafka)
    publish_users(stores, 101, 30)
    lost = {partition: (read[partition], end - 5) for partition, end in read_ends(stores.kafka).items()}
    delete_messages(stores.kafka, {partition: until for partition, (_, until) in lost.items()})

    topic = stores.kafka.raw_topic
    ranges = tuple(f"{topic}/{partition} offsets {since} to {until - 1}" for partition, (since, until) in lost.items())
    sentence = (
        f"20 messages of Kafka topic {topic} were deleted before the stream read them ({', '.join(ranges)}); run"
        " `insights skip-lost`"
    )
    code, last_line = stream.run_until_failure()
    assert code == 1
    assert sentence in last_line
    hops = check_hops(stores)
    assert list_broken(hops) == ["published", "read"]
    assert hops["read"].missing == ranges
    assert hops["read"].sentence.startswith(sentence)

    refused = skip_lost(stores, monkeypatch, answer="n\n")
    assert (refused.exit_code, check_hops(stores)["read"].missing) == (1, ranges)
    assert "20 messages" in refused.stdout
    assert skip_lost(stores, monkeypatch, "--yes").exit_code == 0
    assert "nothing to skip" in skip_lost(stores, monkeypatch, "--yes").stdout
    with stream.running() as run:
        wait_until_read(run, connection, 50)
        hops = check_hops(stores)
        assert list_broken(hops) == ["published"]
        assert hops["read"].sentence == "70 offsets = 50 read + 20 recorded as lost."
        assert len(hops["published"].missing) == 10
        replay(stores.postgres, stores.kafka, ReplayPeriod(started_at, datetime.now(UTC)))
        wait_until_read(run, connection, 70)
        run.wait(lambda: check_ledger(stores).closed)
    assert_stores_agree(stores, connection)


def test_merged_batches_whose_messages_left_the_topic_reach_cassandra_without_a_person(
    stores: StoreSettings, stream: Stream, connection: PgConnection
) -> None:
    publish_users(stores, 1, 20)
    assert stream.crash_at("sinks.delivery", "write_merged") == CRASHED
    assert (len(read_postgres_users(connection)), count_undelivered(connection)) == (20, 1)
    delete_messages(stores.kafka, read_ends(stores.kafka))
    publish_users(stores, 101, 5)
    with stream.running() as run:
        wait_until_read(run, connection, 25)
    assert_stores_agree(stores, connection)
    assert check_ledger(stores).closed


def test_a_topic_that_is_created_again_ends_the_stream_and_waiting_records_are_not_lost(
    stores: StoreSettings, stream: Stream, connection: PgConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish_users(stores, 1, 10)

    def replace_topic(run: Running) -> None:
        wait_until_read(run, connection, 10)
        recreate_topic(stores.kafka)
        publish_users(stores, 101, 30)

    code, last_line = stream.run_until_failure(replace_topic)
    sentence = f"Kafka topic {stores.kafka.raw_topic} was deleted and created again"
    assert code == 1
    assert sentence in last_line
    assert "insights skip-lost" in last_line
    hops = check_hops(stores)
    assert list_broken(hops) == ["read"]
    assert hops["read"].sentence.startswith(sentence)
    assert (hops["published"].state, hops["served"].pending) == (LedgerState.CLOSED, 30)
    assert sentence in stream.run_until_failure()[1]

    assert skip_lost(stores, monkeypatch, "--yes").exit_code == 0
    with stream.running() as run:
        wait_until_read(run, connection, 40)
    assert check_ledger(stores).closed
    assert_stores_agree(stores, connection)
