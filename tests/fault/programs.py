"""The work of DAGs' tasks, and of the stream for one refused record, as programs that tests run and crash.

`stage SEED PAGES SIZE` fetches the pages (separated by commas) and loads them, as a task of `ingest_users` does.
`prune DAYS` drops what has expired, as `prune_staging` would in that many days.
`refuse` delivers a batch that has a record which Cassandra refuses, as the stream does.
"""

import random
import sys
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from uuid import UUID

from insights.clients import connections
from insights.clients.tracing import NoSpans
from insights.ingest.pages import PageIngest, RunOfPages
from insights.repair.retention import prune_batches
from insights.settings import CassandraSettings, KafkaSettings, PostgresSettings, SourceSettings, StagingSettings, load
from insights.source import SourceClient
from insights.staging.retention import drop_expired
from tests.helpers.accepted_users import user
from tests.helpers.store_delivery import RealStores, deliver, place


def stage(seed: str, pages: str, size: str) -> None:
    asked = RunOfPages("ingest_users", seed, seed, [int(page) for page in pages.split(",")], int(size))
    with (
        SourceClient(load(SourceSettings)) as client,
        closing(connections.connect_postgres(load(PostgresSettings), "ingest_users")) as connection,
    ):
        PageIngest(client, connection, asked, NoSpans()).run()


def prune(days: str) -> None:
    now, retention = datetime.now(UTC) + timedelta(days=int(days)), load(StagingSettings).retention_days
    with closing(connections.connect_postgres(load(PostgresSettings), "prune_staging")) as connection:
        drop_expired(connection, now, retention, load(KafkaSettings).raw_topic)
        prune_batches(connection, now, retention)


def refuse() -> None:
    refused = user(random.Random(1), UUID(int=1), 1, "refused", country_code="x" * 70_000)
    taken = user(random.Random(2), UUID(int=2), 1, "taken")
    with (
        closing(connections.connect_postgres(load(PostgresSettings), "stream")) as connection,
        connections.open_cassandra(load(CassandraSettings)) as session,
    ):
        deliver(RealStores(connection, session), 0, place(0, [refused, taken]), "refuse")


if __name__ == "__main__":
    name, *arguments = sys.argv[1:]
    programs: dict[str, Callable[..., None]] = {"stage": stage, "prune": prune, "refuse": refuse}
    programs[name](*arguments)
