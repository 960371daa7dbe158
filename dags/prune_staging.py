"""Drop staging partitions that are published and past their retention, and delete batches of the same age."""

from contextlib import closing
from datetime import UTC, datetime, timedelta

from airflow.sdk import dag, task

from insights.clients.dag_arguments import DAG_ARGUMENTS, TASK_ARGUMENTS


@dag(
    schedule="@daily",
    **DAG_ARGUMENTS,
    default_args=TASK_ARGUMENTS | {"retries": 3, "retry_delay": timedelta(minutes=5)},
    doc_md="Partitions are whole days. They are dropped oldest first, and only once the publisher has published them."
    " Merged batches of the same age are deleted once Cassandra has them.",
)
def prune_staging():
    @task
    def drop_expired() -> list[str]:
        """Drop expired days. Returns their dates."""
        from insights.clients import connections
        from insights.settings import KafkaSettings, PostgresSettings, StagingSettings, load
        from insights.staging.retention import drop_expired

        with closing(connections.connect_postgres(load(PostgresSettings), "prune_staging")) as connection:
            days = drop_expired(
                connection, datetime.now(UTC), load(StagingSettings).retention_days, load(KafkaSettings).raw_topic
            )
        return [day.isoformat() for day in days]

    @task
    def forget_batches() -> dict[str, int]:
        """Delete expired batches. Returns the number of deleted rows by table."""
        from insights.clients import connections
        from insights.repair.retention import prune_batches
        from insights.settings import PostgresSettings, StagingSettings, load

        with closing(connections.connect_postgres(load(PostgresSettings), "prune_staging")) as connection:
            return prune_batches(connection, datetime.now(UTC), load(StagingSettings).retention_days)._asdict()

    drop_expired()
    forget_batches()


prune_staging()
