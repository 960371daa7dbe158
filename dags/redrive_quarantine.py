"""Publish quarantined records again once their cause is fixed."""

from airflow.sdk import Param, dag, get_current_context, task
from airflow.sdk.exceptions import AirflowFailException

from insights.clients.dag_arguments import DAG_ARGUMENTS, TASK_ARGUMENTS
from insights.errors import UserError
from insights.model.reasons import Reason


@dag(
    schedule=None,
    **DAG_ARGUMENTS,
    default_args=TASK_ARGUMENTS,
    params={
        "reason": Param("", type="string", enum=["", *Reason], description="Only records with this reason."),
        "ids": Param([], type="array", items={"type": "string"}, description="Only these event ids or origins."),
        "patch": Param({}, type="object", description="JSON merge patch to apply to every record."),
        "limit": Param(10_000, type="integer", minimum=1, maximum=100_000, description="Maximum number of records."),
        "force": Param(False, type="boolean", description="Include records that were re-driven too many times."),
    },
    doc_md="Triggered by hand: a rule rejects a record again until the rule is fixed or a patch corrects the record, so"
    " a run for every message of the quarantine topic would loop.\n\n"
    "The Kafka provider's producer hook sends the messages. Its ProduceToTopicOperator sends only keys and values,"
    " and without headers a record would lose its event id, its version and its number of re-drives.",
)
def redrive_quarantine():
    @task
    def redrive() -> dict[str, int]:
        """Publish the selected records. Returns how many were published, refused, and left out by the limit."""
        from airflow.providers.apache.kafka.hooks.produce import KafkaProducerHook

        from insights.clients.kafka_produce import republish
        from insights.repair.redrive import redrive as redrive_records
        from insights.repair.redrive_selection import RedriveSelection
        from insights.settings import KafkaSettings, PostgresSettings, load

        params = get_current_context()["params"]
        topic, producer = load(KafkaSettings).raw_topic, KafkaProducerHook("kafka_default").get_producer()
        try:
            outcome = redrive_records(
                load(PostgresSettings),
                RedriveSelection(
                    Reason(params["reason"]) if params["reason"] else None, params["ids"], params["limit"]
                ),
                params["patch"],
                publish=lambda messages: republish(producer, topic, messages),
                force=params["force"],
            )
        except UserError as error:
            raise AirflowFailException(str(error)) from error
        print(*(f"{origin}: {cause}" for origin, cause in outcome.skipped.items()), sep="\n")
        return {"published": outcome.published, "refused": len(outcome.skipped), "left_out": outcome.left_out}

    redrive()


redrive_quarantine()
