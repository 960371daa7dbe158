"""The latency of new users: counted once by the statement that marks a batch, and served by a running stream."""

import json
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from prometheus_client.samples import Sample
from psycopg2.extensions import connection as PgConnection

from insights.clients import connections
from insights.settings import CassandraSettings, KafkaSettings, PostgresSettings
from insights.sinks import postgres as store
from insights.sinks.latencies import BOUNDS, BucketOfUsers
from insights.sinks.orphaned_batches import deliver_orphans
from insights.staging.load import load_page
from tests.helpers import raw_users
from tests.helpers.accepted_users import encode, user
from tests.helpers.publisher_process import run_publisher
from tests.helpers.staged_pages import MadePage, decode_headers, fetch, read_topic, run_sql
from tests.helpers.store_delivery import RealStores, identify
from tests.helpers.stream_process import Running, Stream

PAGE_OF_TRACE = (
    "SELECT batch_id FROM staging.batches WHERE left(encode(sha256(convert_to(batch_id, 'UTF8')), 'hex'), 32) = %s"
)
"""As documented."""
OPENMETRICS = "application/openmetrics-text; version=1.0.0"


class RepeatingStores(RealStores):
    """Stores that repeat the work on PostgreSQL, as if the answer to every commit were lost."""

    def with_postgres(self, work: Callable[[PgConnection], Any]) -> Any:
        super().with_postgres(work)
        return super().with_postgres(work)


@pytest.fixture
def real_stores(connection: PgConnection, cassandra: CassandraSettings) -> Iterator[RealStores]:
    with connections.open_cassandra(cassandra) as session:
        yield RealStores(connection, session)


def merge(connection: Any, batch: store.MicroBatchId, numbers: range, seconds: float, page: str | None) -> None:
    """Merge users of a page that was fetched so many seconds ago."""
    fetched = datetime.now(UTC) - timedelta(seconds=seconds)
    rows = [
        user(random.Random(n), UUID(int=n), 1000 + n, str(n), event_time=fetched, batch_id=page, city="Ulm")
        for n in numbers
    ]
    store.merge_batch(connection, batch, encode(rows), [])


def summarize(latencies: Sequence[BucketOfUsers]) -> dict[float, tuple[int, str | None]]:
    """The number of users and the page by the bound of a bucket."""
    bounds = (*BOUNDS, float("inf"))
    return {bounds[one.bucket]: (one.users, one.page) for one in latencies}


def test_new_users_count_once_by_the_time_since_their_fetch(connection: PgConnection) -> None:
    merge(connection, identify(0), range(150), 200, "a/1")
    [latencies] = store.mark_delivered(connection, identify(0))
    assert (latencies.users, latencies.page) == (150, "a/1")
    assert 200 <= latencies.slowest_seconds < 300
    assert latencies.total_seconds == pytest.approx(150 * latencies.slowest_seconds)

    assert store.mark_delivered(connection, identify(0)) == []
    merge(connection, identify(1), range(150), 90_000, "a/1")
    assert store.mark_delivered(connection, identify(1)) == [], "these users were delivered before"
    merge(connection, identify(2), range(160), 7000, None)
    assert summarize(store.mark_delivered(connection, identify(2))) == {float("inf"): (10, None)}


def test_users_of_an_earlier_checkpoint_count_when_a_later_one_delivers_them(connection: PgConnection) -> None:
    merge(connection, identify(0, "lost checkpoint"), range(5), 200, "a/1")
    merge(connection, identify(0), range(7), 20, "a/2")
    assert summarize(store.mark_delivered(connection, identify(0))) == {300.0: (5, None), 30.0: (2, "a/2")}


def test_a_mark_that_postgres_has_lost_counts_nobody_again(connection: PgConnection) -> None:
    for number in (0, 1):
        merge(connection, identify(number), range(number * 5, number * 5 + 5), 20, "a/1")
        assert summarize(store.mark_delivered(connection, identify(number))) == {30.0: (5, "a/1")}
    fetch(connection, "UPDATE analytics.batches SET served_at = NULL WHERE batch_id = 0")
    merge(connection, identify(2), range(10, 12), 20, "a/2")
    assert summarize(store.mark_delivered(connection, identify(2))) == {30.0: (2, "a/2")}
    assert fetch(connection, "SELECT count(*) FROM analytics.batches WHERE served_at IS NULL") == [(0,)]


def test_orphans_count_when_they_are_delivered(connection: PgConnection, real_stores: RealStores) -> None:
    merge(connection, identify(0), range(5), 200, "a/1")
    merge(connection, identify(1), range(5, 8), 20, "a/2")
    recorded: list[BucketOfUsers] = []
    assert deliver_orphans(real_stores, 1 << 62, recorded.extend) == 2
    assert summarize(recorded) == {300.0: (5, "a/1"), 30.0: (3, "a/2")}


def test_a_repeated_mark_of_orphans_counts_nobody_again(connection: PgConnection, cassandra: CassandraSettings) -> None:
    merge(connection, identify(0), range(5), 200, "a/1")
    recorded: list[BucketOfUsers] = []
    with connections.open_cassandra(cassandra) as session:
        assert deliver_orphans(RepeatingStores(connection, session), 1 << 62, recorded.extend) == 1
    assert recorded == []


def stage(postgres: PostgresSettings, page: int, fetched: datetime, records: list[dict[str, Any]]) -> None:
    with closing(connections.connect_postgres(postgres, "tests")) as connection:
        staged = MadePage([json.dumps(record).encode() for record in records], page=page, fetched_at=fetched)
        load_page(connection, staged, "dag", "run")


def make_users(numbers: range) -> list[dict[str, Any]]:
    return [raw_users.user(login__uuid=str(UUID(int=number + 1))) for number in numbers]


def read_histogram(running: Running) -> dict[str, Sample]:
    """The samples of the histogram by the name's end and the bucket's bound."""
    families = text_string_to_metric_families(running.get("/metrics", accept=OPENMETRICS))
    [histogram] = [family for family in families if family.name == "insights_stream_latency_seconds"]
    return {sample.name.rpartition("_")[2] + sample.labels.get("le", ""): sample for sample in histogram.samples}


def test_a_stream_serves_the_latencies_of_the_users_that_it_delivers_with_their_traces(
    postgres: PostgresSettings, kafka: KafkaSettings, stream: Stream
) -> None:
    now = datetime.now(UTC)
    rejected = raw_users.user(login__uuid=str(UUID(int=900)), email="no address")
    stage(postgres, 1, now - timedelta(hours=3), make_users(range(30)))
    stage(postgres, 2, now, [*make_users(range(30, 70)), rejected])
    with run_publisher(postgres, kafka), stream.running() as running:
        running.wait(lambda: read_histogram(running)["count"].value >= 70)
        samples = read_histogram(running)
        plain = running.get("/metrics")
    assert samples["count"].value == samples["bucket+Inf"].value == 70
    [(delivered,)] = run_sql(postgres, "SELECT count(*)::int FROM analytics.users")
    assert delivered == 70
    assert samples["bucket+Inf"].value - samples["bucket3600.0"].value == 30
    assert samples["sum"].value >= 30 * 3 * 3600

    traces: dict[str, set[str]] = {}
    for headers in map(decode_headers, read_topic(kafka)):
        traces.setdefault(headers["batch_id"], set()).add(headers["traceparent"].split("-")[1])
    exemplars = {name: sample.exemplar for name, sample in samples.items() if sample.exemplar}
    slowest = exemplars.pop("bucket+Inf")
    assert {slowest.labels["trace_id"]} == traces["seed/1"]
    assert run_sql(postgres, PAGE_OF_TRACE, slowest.labels["trace_id"]) == [("seed/1",)]
    assert 3 * 3600 <= slowest.value < samples["sum"].value
    assert exemplars
    assert {exemplar.labels["trace_id"] for exemplar in exemplars.values()} == traces["seed/2"]
    assert "trace_id" not in plain
