"""The work of two DAGs' tasks as programs, so that a test can run and crash them without Airflow.

`stage SEED PAGES SIZE` fetches the pages (separated by commas) and loads them, as a task of `ingest_users` does.
`prune DAYS` drops what has expired, as `prune_staging` would in that many days.
"""

import sys
from contextlib import closing
from datetime import UTC, datetime, timedelta

from insights.clients import connections
from insights.ingest.pages import PageIngest, RunOfPages
from insights.repair.retention import prune_batches
from insights.settings import KafkaSettings, PostgresSettings, SourceSettings, StagingSettings, load
from insights.source import SourceClient
from insights.staging.retention import drop_expired


def stage(seed: str, pages: str, size: str) -> None:
    asked = RunOfPages("ingest_users", seed, seed, [int(page) for page in pages.split(",")], int(size))
    with (
        SourceClient(load(SourceSettings)) as client,
        closing(connections.connect_postgres(load(PostgresSettings), "ingest_users")) as connection,
    ):
        PageIngest(client, connection, asked).run()


def prune(days: str) -> None:
    now, retention = datetime.now(UTC) + timedelta(days=int(days)), load(StagingSettings).retention_days
    with closing(connections.connect_postgres(load(PostgresSettings), "prune_staging")) as connection:
        drop_expired(connection, now, retention, load(KafkaSettings).raw_topic)
        prune_batches(connection, now, retention)


if __name__ == "__main__":
    name, *arguments = sys.argv[1:]
    if name == "stage":
        stage(*arguments)
    else:
        prune(*arguments)
