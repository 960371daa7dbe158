"""Create Kafka's topics where no operator manages them, and set their `max.message.bytes`."""

from concurrent.futures import Future

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ClusterMetadata,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    ResourceType,
)

from insights import failpoints
from insights.errors import NotReadyError, RefusedError, UserError
from insights.settings import KafkaSettings

_UNANSWERED = (KafkaError._TIMED_OUT, KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN)
_REMEDY = "check that it is running, and the INSIGHTS_KAFKA_* variables"


def ensure_topics(settings: KafkaSettings, timeout_seconds: float = 30) -> list[str]:
    """Create the platform's topics if they do not exist, and set `max.message.bytes` of those that do.

    The partitions of an existing topic are not changed, as that would move keys. Returns the names of the topics
    created.

    Raises:
        NotReadyError: no broker answers, or it does not answer in time.
        RefusedError: the broker refuses the login.
        UserError: the broker rejects the changes.
    """
    names = (settings.raw_topic, settings.quarantine_topic)
    size = str(settings.max_message_bytes)
    topics = [
        NewTopic(name, settings.partitions, settings.replication_factor, config={"max.message.bytes": size})
        for name in names
    ]
    admin, _ = connect_admin(settings, timeout_seconds)
    try:
        futures = admin.create_topics(topics, operation_timeout=timeout_seconds, request_timeout=timeout_seconds)
        created = [name for name in names if _await_creation(futures[name])]
        failpoints.reach("migrate.topics_created")
        if existing := [_make_size_limit(name, size) for name in names if name not in created]:
            for future in admin.incremental_alter_configs(existing, request_timeout=timeout_seconds).values():
                future.result()
        failpoints.reach("migrate.topics_altered")
    except KafkaException as error:
        kind = NotReadyError if error.args[0].retriable() or error.args[0].code() in _UNANSWERED else UserError
        raise kind(
            f"Kafka at {settings.bootstrap_servers} did not set up topics {' and '.join(names)}"
            f" ({error.args[0].str()}); {_REMEDY}."
        ) from error
    return created


def connect_admin(settings: KafkaSettings, timeout_seconds: float = 30) -> tuple[AdminClient, ClusterMetadata]:
    """Connect an admin client. Returns it with the metadata of the topics that the login may see.

    Raises:
        NotReadyError: no broker answers.
        RefusedError: the broker refuses the login.
    """
    errors: list[KafkaError] = []
    admin = AdminClient(settings.client() | {"log_level": 0, "error_cb": errors.append})
    broker = f"Kafka at {settings.bootstrap_servers}"
    try:
        return admin, admin.list_topics(timeout=timeout_seconds)
    except KafkaException as error:
        admin.poll(0)
        for cause in errors:
            if cause.code() == KafkaError._AUTHENTICATION:
                raise RefusedError(
                    f"{broker} refused the login of {settings.username!r} ({cause.str()}); check"
                    " INSIGHTS_KAFKA_USERNAME and INSIGHTS_KAFKA_PASSWORD."
                ) from error
        reason = next((cause.str() for cause in errors if cause.code() == KafkaError._SSL), error.args[0].str())
        raise NotReadyError(f"{broker} does not answer ({reason}); {_REMEDY}.") from error


def _await_creation(future: "Future[None]") -> bool:
    """Wait for the broker's answer. Returns false if the topic exists already."""
    try:
        future.result()
    except KafkaException as error:
        if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
            raise
        return False
    return True


def _make_size_limit(topic: str, size: str) -> ConfigResource:
    entry = ConfigEntry("max.message.bytes", size, incremental_operation=AlterConfigOpType.SET)
    return ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
