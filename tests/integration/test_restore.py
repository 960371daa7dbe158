"""PostgreSQL or Cassandra restored to an earlier time, while the other stores have what it has lost."""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest

from insights.clients import connections
from insights.ledger.check import check_ledger
from insights.ledger.hops import Hop, Ledger, LedgerState
from insights.migrations.migrate_cassandra import migrate_cassandra
from insights.repair.replay import ReplayPeriod, replay
from insights.repair.skip_lost import skip_lost_messages
from insights.settings import CassandraSettings, PostgresSettings, StoreSettings
from insights.staging.load import load_page
from tests.helpers import raw_users
from tests.helpers.archived_postgres import ArchivedPostgres
from tests.helpers.fresh_stores import create_database, name_keyspace, recreate_topic
from tests.helpers.publisher_process import run_publisher
from tests.helpers.staged_pages import MadePage, read_topic, run_sql
from tests.helpers.stream_process import Running, Stream
from tests.helpers.support import REPOSITORY, eventually
from tests.helpers.warm_spark import WarmSpark
from tests.integration.conftest import GuardedCassandra

USERS = int(os.environ.get("RESTORED_USERS", "100000"))
PAGE = 5000


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ArchivedPostgres]:
    server = ArchivedPostgres(tmp_path_factory.mktemp("archived"))
    server.start()
    try:
        server.wait_ready(60)
        yield server
    finally:
        server.stop()


@pytest.fixture
def empty_postgres(server: ArchivedPostgres) -> Iterator[PostgresSettings]:
    with create_database(server) as settings:
        yield settings


@pytest.fixture
def empty_keyspace(cassandra_server: GuardedCassandra) -> Iterator[CassandraSettings]:
    with name_keyspace(cassandra_server) as settings:
        yield settings


@pytest.fixture
def rebuilt(
    tmp_path_factory: pytest.TempPathFactory,
    jars: Path,
    stores: StoreSettings,
    empty_keyspace: CassandraSettings,
    warm_spark: WarmSpark,
) -> Stream:
    """A stream without a checkpoint, into another keyspace."""
    folder = tmp_path_factory.mktemp("rebuilt")
    return Stream(folder, jars, stores.postgres, stores.kafka, empty_keyspace, warm_spark)


def stage(postgres: PostgresSettings, page: int, users: int = PAGE, **changes: object) -> None:
    """Stage a page of users whose numbers follow from the page's; `changes` are those of `raw_users.user`."""
    records = [
        json.dumps(raw_users.user(login__uuid=str(UUID(int=page * PAGE + number)), **changes)).encode()
        for number in range(users)
    ]
    with closing(connections.connect_postgres(postgres, "tests")) as connection:
        load_page(connection, MadePage(records, page=page), "dag", "run")


def count_users(postgres: PostgresSettings) -> int:
    [(users,)] = run_sql(postgres, "SELECT count(*)::int FROM analytics.users")
    return int(users)


def is_delivered(stores: StoreSettings, users: int) -> bool:
    # In this order: a batch that is merged between the two queries is undelivered.
    merged = count_users(stores.postgres)
    [(undelivered,)] = run_sql(stores.postgres, "SELECT count(*) FROM analytics.batches WHERE served_at IS NULL")
    return merged == users and not undelivered


def read_ids(postgres: PostgresSettings) -> list[int]:
    """The ids of the staged rows, in order."""
    return [id_ for (id_,) in run_sql(postgres, "SELECT id FROM staging.users ORDER BY id")]


def list_broken(stores: StoreSettings) -> list[str]:
    return [hop.name for hop in check_ledger(stores).hops if hop.state is LedgerState.BROKEN]


def wait_until_closed(run: Running, stores: StoreSettings, users: int) -> dict[str, Hop]:
    """Wait until both stores have so many users and the ledger is closed. Returns its hops."""
    run.wait(lambda: is_delivered(stores, users))
    ledger: list[Ledger] = []

    def is_closed() -> bool:
        ledger[:] = [check_ledger(stores)]
        return ledger[0].closed

    try:
        eventually(is_closed, 30)
    except AssertionError:
        raise AssertionError([hop.sentence for hop in ledger[0].open_hops()]) from None
    return {hop.name: hop for hop in ledger[0].hops}


def test_a_restore_loses_no_record_that_reached_the_topic(
    server: ArchivedPostgres, stores: StoreSettings, stream: Stream
) -> None:
    pages = USERS // PAGE
    kept, undone = pages - 2, 2
    with run_publisher(stores.postgres, stores.kafka, flush_seconds=60), stream.running() as run:
        for page in range(kept - 1):
            stage(stores.postgres, page)
        run.wait(lambda: is_delivered(stores, (kept - 1) * PAGE))
        server.back_up()
        stage(stores.postgres, kept - 1)
        run.wait(lambda: is_delivered(stores, kept * PAGE))
        time = server.read_time()
        for page in range(kept, pages):
            stage(stores.postgres, page)
        run.wait(lambda: is_delivered(stores, USERS))
    server.restore(time)
    assert count_users(stores.postgres) == kept * PAGE

    with run_publisher(stores.postgres, stores.kafka, flush_seconds=60), stream.running() as run:
        hops = wait_until_closed(run, stores, USERS)
        assert (
            f"{undone * PAGE:,} messages whose rows a restore or a failover of PostgreSQL undid"
            in hops["published"].uncovered
        )
        stage(stores.postgres, pages - 1)
        stage(stores.postgres, pages, 100)
        hops = wait_until_closed(run, stores, USERS + 100)
        incremental = check_ledger(stores, full=False)
        assert (incremental.closed, incremental.scope.value) == (True, "incremental")
    assert "lacks batches that the checkpoint has" in stream.log.read_text()
    ids = [dict(message.headers())["event_id"] for message in read_topic(stores.kafka)]
    assert len(ids) == len(set(ids)) == USERS + PAGE + 100


def test_rows_staged_after_two_restores_from_one_backup_have_different_ids(
    server: ArchivedPostgres, stores: StoreSettings
) -> None:
    stage(stores.postgres, 0, 10)
    server.back_up()
    time, ids = server.read_time(), read_ids(stores.postgres)
    for page in (1, 2):
        stage(stores.postgres, page, 10)
        ids += read_ids(stores.postgres)[10:]
        server.restore(time)
        server.forget_timelines()
    stage(stores.postgres, 3, 10)
    ids += read_ids(stores.postgres)[10:]
    assert ids == sorted(set(ids))
    assert len(ids) == 40


def test_a_copy_of_the_data_directory_begins_an_epoch_by_the_documented_statement(
    server: ArchivedPostgres, stores: StoreSettings
) -> None:
    statement = "UPDATE staging.epochs SET timeline = -epoch"
    assert f"`{statement}`" in (REPOSITORY / "docs" / "operations.md").read_text()
    stage(stores.postgres, 0, 10)
    server.copy_data()
    stage(stores.postgres, 1, 10)
    lost = read_ids(stores.postgres)
    server.put_copy_back()
    run_sql(stores.postgres, statement)
    stage(stores.postgres, 2, 10)
    assert set(read_ids(stores.postgres)[10:]).isdisjoint(lost)


def test_a_running_stream_notices_that_postgresql_lost_a_merge(
    server: ArchivedPostgres, stores: StoreSettings, stream: Stream
) -> None:
    def lose_a_merge(run: Running) -> None:
        stage(stores.postgres, 0, 50)
        run.wait(lambda: is_delivered(stores, 50))
        server.back_up()
        time = server.read_time()
        stage(stores.postgres, 1, 50)
        run.wait(lambda: is_delivered(stores, 100))
        server.restore(time)
        stage(stores.postgres, 2, 50)

    with run_publisher(stores.postgres, stores.kafka):
        code, message = stream.run_until_failure(lose_a_merge)
        assert code == 1
        assert message.startswith("error: PostgreSQL has lost micro-batch ")
        with stream.running() as run:
            wait_until_closed(run, stores, 150)


def test_a_restored_cassandra_gets_back_what_was_delivered_since(
    cassandra_server: GuardedCassandra, stores: StoreSettings, stream: Stream, tmp_path: Path
) -> None:
    parts, backup = ("data", "commitlog"), tmp_path / "backup"

    def restore(run: Running) -> None:
        stage(stores.postgres, 1, 50)
        run.wait(lambda: is_delivered(stores, 100))
        cassandra_server.stop()
        for part in parts:
            shutil.rmtree(cassandra_server.state / part)
            shutil.copytree(backup / part, cassandra_server.state / part)
        cassandra_server.start()
        cassandra_server.wait_ready(90)

    with run_publisher(stores.postgres, stores.kafka):
        with stream.running() as run:
            stage(stores.postgres, 0, 50)
            run.wait(lambda: is_delivered(stores, 50))
        cassandra_server.stop()
        for part in parts:
            shutil.copytree(cassandra_server.state / part, backup / part)
        cassandra_server.start()
        cassandra_server.wait_ready(90)

        code, message = stream.run_until_failure(restore)
        assert code == 1
        assert message.startswith("error: Cassandra was restored to the time of batch ")
        assert not check_ledger(stores).closed
        assert list_broken(stores) == []
        stage(stores.postgres, 2, 50)
        with stream.running() as run:
            wait_until_closed(run, stores, 150)


def test_a_lost_platform_comes_back_from_the_backup_of_postgresql_alone(
    server: ArchivedPostgres, stores: StoreSettings, stream: Stream, rebuilt: Stream, empty_keyspace: CassandraSettings
) -> None:
    started_at = datetime.now(UTC) - timedelta(seconds=1)
    with run_publisher(stores.postgres, stores.kafka), stream.running() as run:
        stage(stores.postgres, 0, 50)
        run.wait(lambda: is_delivered(stores, 50))
    with run_publisher(stores.postgres, stores.kafka) as publisher:
        stage(stores.postgres, 1, 50)
        eventually(lambda: publisher.sample("published_total") == 50)
    server.back_up()
    server.restore(server.read_time())
    recreate_topic(stores.kafka)
    migrate_cassandra(empty_keyspace)

    stores = replace(stores, cassandra=empty_keyspace)
    assert "insights skip-lost" in rebuilt.run_until_failure()[1]
    assert skip_lost_messages(stores.kafka, stores.postgres).recreated
    with run_publisher(stores.postgres, stores.kafka), rebuilt.running() as run:
        run.wait(lambda: run.metric("last_batch_id") >= -1 and list_broken(stores) == ["published"])
        replay(stores.postgres, stores.kafka, ReplayPeriod(started_at, datetime.now(UTC)))
        wait_until_closed(run, stores, 100)
