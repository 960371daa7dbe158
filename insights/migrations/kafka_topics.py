"""Create Kafka's topics, where no operator owns them, and keep their largest message size as the settings say."""

from typing import Any

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    ResourceType,
)

from insights.errors import NotReadyError, RefusedError, UserError
from insights.settings import KafkaSettings


def ensure_topics(settings: KafkaSettings, timeout_seconds: float = 30) -> list[str]:
    """Create the platform's topics where absent, and give those that exist the settings' largest message size.

    Partitions of an existing topic stay as they are: adding some would move keys. Returns the names created.

    Raises:
        NotReadyError: no broker answers.
        RefusedError: it does not let us in.
        UserError: it does not set the topics up.
    """
    errors: list[KafkaError] = []
    admin = AdminClient(settings.client() | {"log_level": 0, "error_cb": errors.append})
    names = (settings.raw_topic, settings.quarantine_topic)
    size = str(settings.max_message_bytes)
    topics = [
        NewTopic(name, settings.partitions, settings.replication_factor, config={"max.message.bytes": size})
        for name in names
    ]
    where = f"Kafka at {settings.bootstrap_servers}"
    remedy = "check that it runs and the INSIGHTS_KAFKA_* variables"
    try:
        admin.list_topics(timeout=timeout_seconds)
    except KafkaException as error:
        admin.poll(0)
        for told in errors:
            if told.code() == KafkaError._AUTHENTICATION:
                raise RefusedError(
                    f"{where} did not let {settings.username!r} in ({told.str()}); check INSIGHTS_KAFKA_USERNAME and"
                    " INSIGHTS_KAFKA_PASSWORD."
                ) from error
        reason = next((told.str() for told in errors if told.code() == KafkaError._SSL), error.args[0].str())
        raise NotReadyError(f"{where} does not answer ({reason}); {remedy}.") from error
    try:
        futures = admin.create_topics(topics, operation_timeout=timeout_seconds, request_timeout=timeout_seconds)
        created = [name for name in names if _created(futures[name])]
        if existing := [_size_limit(name, size) for name in names if name not in created]:
            for future in admin.incremental_alter_configs(existing, request_timeout=timeout_seconds).values():
                future.result()
    except KafkaException as error:
        raise UserError(
            f"{where} did not set up topics {' and '.join(names)} ({error.args[0].str()}); {remedy}."
        ) from error
    return created


def _created(future: Any) -> bool:
    try:
        future.result()
    except KafkaException as error:
        if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
            raise
        return False
    return True


def _size_limit(topic: str, size: str) -> Any:
    entry = ConfigEntry("max.message.bytes", size, incremental_operation=AlterConfigOpType.SET)
    return ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
