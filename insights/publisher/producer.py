"""A batch to Kafka, and the wait until the broker has acknowledged every message of it."""

import logging
import time
from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import Any

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient, ConfigResource, ResourceType

from insights.clients import connections
from insights.clients.kafka_produce import Encoded, encode_quarantined, encode_raw, enqueue
from insights.model.message import RawMessage
from insights.model.quarantine import QuarantineRecord
from insights.publisher.staged_rows import StagedBatch, reject_too_large
from insights.settings import KafkaSettings

_log = logging.getLogger(__name__)
_METADATA_SECONDS = 10
_WAIT_SECONDS = 0.5


class UndeliveredError(Exception):
    """The broker is out of reach, or did not acknowledge all of a batch."""


class BatchProducer:
    """A producer for the raw and the quarantine topic. A sender that raised `UndeliveredError` is to be closed."""

    def __init__(self, settings: KafkaSettings, application: str, ack_seconds: float) -> None:
        """Connect.

        Raises:
            UndeliveredError: no broker answers, or a topic is absent.
        """
        self._settings = settings
        self._ack_seconds = ack_seconds
        self._acknowledged = 0
        self._failures: list[KafkaError] = []
        self._too_large: set[bytes] = set()
        self._last_error = ""
        self._producer = connections.make_kafka_producer(
            settings,
            application,
            {
                "linger.ms": 5,
                "batch.size": max(1, min(1_000_000, settings.max_message_bytes)),
                "message.timeout.ms": int(ack_seconds * 1000),
                "on_delivery": self._delivered,
                "error_cb": self._noticed,
                "logger": _log,
                "log_level": 3,
            },
        )
        self._check_topics()
        self.limit = min(settings.max_message_bytes, self._topic_limit())

    def send(self, batch: StagedBatch) -> None:
        """Hand the batch to the client: messages to the raw topic, copies of the refused to the quarantine topic.

        Raises:
            UndeliveredError: the client does not take it.
        """
        self._produce_all(batch.messages)
        self._quarantine(batch.refused)

    def acknowledge(self, batch: StagedBatch, beat: Callable[[], bool]) -> list[QuarantineRecord]:
        """Wait until all of the batch that was sent is acknowledged.

        Returns what the broker itself refused as too large, also copied to the quarantine topic. `beat` is called
        while waiting; when it returns false, the wait is over.

        Raises:
            UndeliveredError: not everything was acknowledged; some of it may have been.
        """
        self._await(len(batch), beat)
        if not self._too_large:
            return []
        suspects = [message for message in batch.messages if str(message.key).encode() in self._too_large]
        found = [self._refusal(message) for message in suspects if not self._alone(message, beat)]
        self._quarantine(found)
        self._await(len(found), beat)
        return found

    def close(self) -> None:
        """Drop what is unsent; nothing waits."""
        self._producer.purge()
        self._producer.flush(1)

    def _produce_all(self, messages: Sequence[RawMessage]) -> None:
        for message in messages:
            self._produce(self._settings.raw_topic, encode_raw(message))

    def _quarantine(self, refused: Sequence[QuarantineRecord]) -> None:
        for record in refused:
            self._produce(self._settings.quarantine_topic, encode_quarantined(record))

    def _produce(self, topic: str, message: Encoded) -> None:
        try:
            enqueue(self._producer, topic, message, timeout_seconds=self._ack_seconds)
        except BufferError:
            raise UndeliveredError(self._silence()) from None
        except KafkaException as error:
            raise UndeliveredError(f"Kafka's client refused a message for {topic}: {error.args[0].str()}") from None

    def _await(self, count: int, beat: Callable[[], bool]) -> None:
        """Until `count` deliveries are reported; what was too large for the broker counts."""
        deadline = time.monotonic() + self._ack_seconds + 5
        while self._producer.flush(_WAIT_SECONDS):
            if not beat() or time.monotonic() > deadline:
                raise UndeliveredError(self._silence())
        reported, failures = self._acknowledged + len(self._too_large), self._failures
        self._acknowledged, self._failures = 0, []
        if failures:
            raise UndeliveredError(
                f"Kafka at {self._settings.bootstrap_servers} did not take a message: {failures[0].str()}"
            )
        if reported != count:
            raise UndeliveredError(f"Kafka's client reported {reported} of {count} messages.")

    def _alone(self, message: RawMessage, beat: Callable[[], bool]) -> bool:
        """Deliver one message in a batch of its own: a batch is refused whole, also for what its neighbours weigh."""
        self._too_large.clear()
        self._produce_all([message])
        self._await(1, beat)
        taken = not self._too_large
        self._too_large.clear()
        return taken

    def _refusal(self, message: RawMessage) -> QuarantineRecord:
        detail = f"the broker refused the {len(message.value)} bytes as too large for {self._settings.raw_topic}"
        return reject_too_large(message, len(message.value), sha256(message.value).hexdigest(), detail)

    def _delivered(self, error: KafkaError | None, message: Any) -> None:
        if error is None:
            self._acknowledged += 1
        elif error.code() == KafkaError.MSG_SIZE_TOO_LARGE and message.topic() == self._settings.raw_topic:
            self._too_large.add(message.key())
        else:
            self._failures.append(error)

    def _noticed(self, error: KafkaError) -> None:
        self._last_error = error.str()

    def _silence(self) -> str:
        reason = f" ({self._last_error})" if self._last_error else ""
        return f"Kafka at {self._settings.bootstrap_servers} does not acknowledge{reason}"

    def _check_topics(self) -> None:
        for topic in (self._settings.raw_topic, self._settings.quarantine_topic):
            try:
                found = self._producer.list_topics(topic, timeout=_METADATA_SECONDS).topics[topic]
            except KafkaException as error:
                reason = self._last_error or error.args[0].str()
                raise UndeliveredError(
                    f"Kafka at {self._settings.bootstrap_servers} does not answer ({reason})"
                ) from None
            if found.error is not None:
                raise UndeliveredError(
                    f"Kafka's topic {topic} cannot be used ({found.error.str()}); create it or allow us."
                )

    def _topic_limit(self) -> int:
        """The topic's own `max.message.bytes`, or the settings' where we may not ask."""
        resource = ConfigResource(ResourceType.TOPIC, self._settings.raw_topic)
        admin = AdminClient(self._settings.client() | {"logger": _log, "log_level": 3})
        try:
            [future] = admin.describe_configs([resource], request_timeout=_METADATA_SECONDS).values()
            return int(future.result()["max.message.bytes"].value)
        except KafkaException as error:
            _log.info("the limit of topic %s is not readable: %s", self._settings.raw_topic, error.args[0].str())
            return self._settings.max_message_bytes
