"""Send a batch to Kafka and wait until the broker has acknowledged all its messages."""

import logging
import time
from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import Any

from confluent_kafka import KafkaError, KafkaException

from insights import failpoints
from insights.clients import connections, kafka_admin
from insights.clients.kafka_produce import Encoded, encode_quarantined, encode_raw, enqueue
from insights.model.message import RawMessage
from insights.model.quarantine import QuarantineRecord
from insights.publisher.staged_rows import StagedBatch, reject_too_large
from insights.settings import KafkaSettings

_log = logging.getLogger(__name__)
_METADATA_TIMEOUT_SECONDS = 10
_FLUSH_SECONDS = 0.5


class UndeliveredError(Exception):
    """The broker does not answer, or did not acknowledge all messages of a batch."""


class BatchProducer:
    """A producer for the raw and the quarantine topic; close it after an `UndeliveredError`."""

    def __init__(self, settings: KafkaSettings, application: str, ack_seconds: float) -> None:
        """Connect to the brokers and check the topics.

        Raises:
            UndeliveredError: no broker answers, or a topic does not exist.
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
                "on_delivery": self._record_delivery,
                "error_cb": self._record_error,
                "logger": _log,
                "log_level": 3,
            },
        )
        self._check_topics()
        limit = kafka_admin.read_message_limit(kafka_admin.get_admin(settings), settings, _METADATA_TIMEOUT_SECONDS)
        self.max_message_bytes = min(settings.max_message_bytes, limit)

    def send(self, batch: StagedBatch) -> None:
        """Enqueue the batch: its messages for the raw topic, its rejected records for the quarantine topic.

        Raises:
            UndeliveredError: the producer's queue stays full, or the client rejects a message.
        """
        self._produce_raw(batch.messages)
        self._produce_quarantined(batch.rejected)

    def await_acknowledgements(self, batch: StagedBatch, keep_waiting: Callable[[], bool]) -> list[QuarantineRecord]:
        """Wait until every message of the sent batch is acknowledged.

        Returns the records that the broker itself rejected as too large, after sending them to the quarantine topic.
        `keep_waiting` is called regularly; the wait ends when it returns false.

        Raises:
            UndeliveredError: not all messages were acknowledged, though some may have been.
        """
        self._await_reports(len(batch), keep_waiting)
        if not self._too_large:
            return []
        suspects = [message for message in batch.messages if str(message.key).encode() in self._too_large]
        rejected = [self._reject(message) for message in suspects if not self._deliver_alone(message, keep_waiting)]
        self._produce_quarantined(rejected)
        self._await_reports(len(rejected), keep_waiting)
        return rejected

    def close(self) -> None:
        """Discard the messages that are still in the queue or in flight, without waiting."""
        self._producer.purge()
        self._producer.flush(1)

    def _produce_raw(self, messages: Sequence[RawMessage]) -> None:
        for message in messages:
            self._produce(self._settings.raw_topic, encode_raw(message))

    def _produce_quarantined(self, rejected: Sequence[QuarantineRecord]) -> None:
        for record in rejected:
            self._produce(self._settings.quarantine_topic, encode_quarantined(record))

    def _produce(self, topic: str, message: Encoded) -> None:
        try:
            enqueue(self._producer, topic, message, timeout_seconds=self._ack_seconds)
        except BufferError:
            raise UndeliveredError(self._describe_timeout()) from None
        except KafkaException as error:
            raise UndeliveredError(f"Kafka's client rejected a message for {topic}: {error.args[0].str()}") from None

    def _await_reports(self, count: int, keep_waiting: Callable[[], bool]) -> None:
        """Wait for `count` delivery reports, including those of messages that the broker rejected as too large."""
        deadline = time.monotonic() + self._ack_seconds + 5
        while self._producer.flush(_FLUSH_SECONDS):
            if not keep_waiting() or time.monotonic() > deadline:
                raise UndeliveredError(self._describe_timeout())
        reported, failures = self._acknowledged + len(self._too_large), self._failures
        self._acknowledged, self._failures = 0, []
        if failures:
            raise UndeliveredError(
                f"Kafka at {self._settings.bootstrap_servers} did not accept a message: {failures[0].str()}"
            )
        if reported != count:
            raise UndeliveredError(f"Kafka's client returned delivery reports for {reported} of {count} messages.")
        failpoints.reach("publish.acknowledged")

    def _deliver_alone(self, message: RawMessage, keep_waiting: Callable[[], bool]) -> bool:
        """Send a message in a batch of its own, as brokers reject whole batches. Returns whether it is accepted."""
        self._too_large.clear()
        self._produce_raw([message])
        self._await_reports(1, keep_waiting)
        accepted = not self._too_large
        self._too_large.clear()
        return accepted

    def _reject(self, message: RawMessage) -> QuarantineRecord:
        detail = f"the broker rejected the {len(message.value)} bytes as too large for {self._settings.raw_topic}"
        return reject_too_large(message, len(message.value), sha256(message.value).hexdigest(), detail)

    def _record_delivery(self, error: KafkaError | None, message: Any) -> None:
        if error is None:
            self._acknowledged += 1
        elif error.code() == KafkaError.MSG_SIZE_TOO_LARGE and message.topic() == self._settings.raw_topic:
            self._too_large.add(message.key())
        else:
            self._failures.append(error)

    def _record_error(self, error: KafkaError) -> None:
        self._last_error = error.str()

    def _describe_timeout(self) -> str:
        reason = f" ({self._last_error})" if self._last_error else ""
        return f"Kafka at {self._settings.bootstrap_servers} does not acknowledge messages{reason}"

    def _check_topics(self) -> None:
        for topic in (self._settings.raw_topic, self._settings.quarantine_topic):
            try:
                metadata = self._producer.list_topics(topic, timeout=_METADATA_TIMEOUT_SECONDS).topics[topic]
            except KafkaException as error:
                reason = self._last_error or error.args[0].str()
                raise UndeliveredError(
                    f"Kafka at {self._settings.bootstrap_servers} does not answer ({reason})"
                ) from None
            if metadata.error is not None:
                raise UndeliveredError(
                    f"Kafka's topic {topic} cannot be used ({metadata.error.str()}); create it or grant access to it."
                )
