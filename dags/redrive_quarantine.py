"""Publish quarantined records again, after their cause was mended."""

from datetime import UTC, datetime

from airflow.sdk import Param, dag, get_current_context, task

from insights.model.reasons import Reason


@dag(
    schedule=None,
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    max_active_runs=1,
    params={
        "reason": Param("", type="string", enum=["", *Reason], description="Only records refused for this."),
        "ids": Param([], type="array", items={"type": "string"}, description="Event ids or origins; all when empty."),
        "patch": Param({}, type="object", description="A JSON merge patch that corrects every record."),
        "limit": Param(10_000, type="integer", minimum=1, maximum=100_000),
        "force": Param(False, type="boolean", description="Also what was re-driven often."),
    },
    tags=["user-insights"],
    doc_md="Started by hand: a rule that refused a record refuses it again until somebody mended the rule or gives a"
    " patch, so a run for every message on the quarantine topic could only go in circles.\n\n"
    "The messages go through the provider's producer hook. Its ProduceToTopicOperator sends a key and a value only, and"
    " without headers a record would lose its event id, its version and its count of re-drives.",
)
def redrive_quarantine():
    @task
    def redrive() -> dict[str, int]:
        from airflow.providers.apache.kafka.hooks.produce import KafkaProducerHook

        from insights.clients.kafka_produce import republish
        from insights.repair.redrive import RedriveSelection, prepare_redrive
        from insights.settings import KafkaSettings, PostgresSettings, load

        params = get_current_context()["params"]
        reason = Reason(params["reason"]) if params["reason"] else None
        selection = RedriveSelection(reason, params["ids"], params["limit"])
        prepared = prepare_redrive(load(PostgresSettings), selection, params["patch"], force=params["force"])
        producer = KafkaProducerHook("kafka_default").get_producer()
        sent = republish(producer, load(KafkaSettings).raw_topic, prepared.messages)
        for origin, why in prepared.refused.items():
            print(f"{origin}: {why}")
        return {"published": sent, "refused": len(prepared.refused)}

    redrive()


redrive_quarantine()
