"""Prove that no record was lost between the stores."""

from datetime import timedelta

from airflow.sdk import Param, dag, get_current_context, task
from airflow.sdk.exceptions import AirflowFailException

from insights.clients.dag_arguments import DAG_ARGUMENTS, TASK_ARGUMENTS


@dag(
    schedule="5/30 * * * *",
    **DAG_ARGUMENTS,
    # The attempts are for an outage: a loss fails at once.
    default_args=TASK_ARGUMENTS | {"retries": 3, "retry_delay": timedelta(minutes=1)},
    params={
        "wait_seconds": Param(120, type="integer", minimum=0, description="Seconds to wait until idle."),
        "full": Param(False, type="boolean", description="Compare everything, as once a week."),
    },
    doc_md="Checks the raw topic and the stream, then compares the stores; a failed run names the hop that differs.",
)
def check_data_flow():
    @task
    def topic() -> dict[str, int]:
        """Count the raw topic's messages per partition. Fails if a partition has no leader."""
        from airflow.providers.apache.kafka.hooks.client import KafkaAdminClientHook

        from insights.clients.kafka_admin import count_messages
        from insights.settings import KafkaSettings, load

        return count_messages(KafkaAdminClientHook("kafka_default").get_conn, load(KafkaSettings).raw_topic)

    @task
    def stream() -> str:
        """Fail if a workload of the release has been unavailable for minutes, or if the stream has stalled."""
        from insights.clients import kubernetes
        from insights.ledger.check import PATIENCE_SECONDS, find_stall
        from insights.settings import load_stores

        if unhealthy := kubernetes.describe_unhealthy():
            raise AirflowFailException("; ".join(unhealthy))
        if stalled := find_stall(load_stores(), PATIENCE_SECONDS):
            raise AirflowFailException(f"The stream merged nothing for {PATIENCE_SECONDS} s: {stalled.sentence()}.")
        return "the stream is making progress or is idle"

    @task
    def ledger() -> dict[str, int]:
        from insights.ledger.check import check_ledger
        from insights.settings import load_stores

        params = get_current_context()["params"]
        result = check_ledger(load_stores(), params["wait_seconds"], full=params["full"])
        if not result.closed:
            raise AirflowFailException("; ".join(f"{hop.name}: {hop.sentence}" for hop in result.open_hops()))
        return {hop.name: hop.left for hop in result.hops}

    [topic(), stream()] >> ledger()


check_data_flow()
