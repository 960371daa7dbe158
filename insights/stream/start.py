"""Where the stream starts reading the raw topic, and why it cannot when messages are gone."""

import json
import logging
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass

from confluent_kafka import KafkaException
from psycopg2.extensions import cursor as PgCursor
from pyspark.sql import SparkSession

from insights import failpoints
from insights.clients import connections, kafka_admin
from insights.clients.merge_order import lock_merges
from insights.clients.stream_position import (
    SKIP_REMEDY,
    LostMessages,
    StartingOffsets,
    TopicState,
    Watermarks,
    find_lost,
    has_batch,
    read_topic_state,
    record_start,
)
from insights.errors import NotReadyError, UserError
from insights.settings import KafkaSettings, PostgresSettings
from insights.sinks.checkpoint_offsets import read_last_committed, read_next_offsets

_WATCH_KAFKA_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class StreamStart:
    """What a query needs to start: its checkpoint, and Kafka's `startingOffsets` for a new checkpoint."""

    checkpoint: str
    starting_offsets: str
    topic_id: str
    orphaned_before: int
    """Undelivered batches with a smaller sequence number are not repeated by the query."""
    largest_message: int
    """The most bytes that a message of the topic has, as far as its configuration and the settings say."""


def resolve_start(
    spark: SparkSession, checkpoint: str, kafka: KafkaSettings, postgres: PostgresSettings
) -> StreamStart:
    """Compare the stream's position with the topic, and record where it starts if that is new.

    The stream goes on from the merged offsets with a new checkpoint if messages that Spark would read again are gone,
    but all of them have been merged, and if the checkpoint is ahead because PostgreSQL has lost merges.

    Raises:
        UserError: messages were lost before they were read, or a store cannot be reached.
    """
    topic = kafka.raw_topic
    with (
        closing(connections.connect_postgres(postgres, "stream")) as connection,
        connection,
        connection.cursor() as cursor,
    ):
        lock_merges(cursor)  # A stream that still runs must not merge between what is read here.
        position, topic_id, watermarks = _read_topic(cursor, kafka)
        if lost := find_lost(topic, position, topic_id, watermarks):
            raise _make_loss_error(lost)
        merged = position.offsets or {partition: low for partition, (low, _) in watermarks.items()}
        start = position.start or record_start(cursor, topic, topic_id, merged, LostMessages(topic))
        if reason := _find_reason_to_leave(spark, _name_checkpoint(checkpoint, start), cursor, topic, watermarks):
            logging.warning("%s; the stream of topic %s goes on from the merged offsets", reason, topic)
            start = record_start(cursor, topic, topic_id, merged, LostMessages(topic))
    failpoints.reach("start.recorded")
    offsets = {str(part): max(low, start.offsets.get(part, 0)) for part, (low, _) in watermarks.items()}
    return StreamStart(
        _name_checkpoint(checkpoint, start),
        "earliest" if start.first else json.dumps({topic: offsets}),
        topic_id,
        0 if start.first else start.seq,
        max(kafka.max_message_bytes, kafka_admin.read_message_limit(kafka_admin.get_admin(kafka), kafka)),
    )


@contextmanager
def explain_loss(kafka: KafkaSettings, postgres: PostgresSettings) -> Iterator[None]:
    """Replace an error of the query by the loss of messages that caused it, if there was one."""
    try:
        yield
    except UserError as error:
        lost = _find_loss(kafka, postgres)
        if lost:
            raise _make_loss_error(lost) from error
        raise


class TopicWatch:
    """Checks that the topic is still the one that the query began to read: offsets alone do not show a new topic."""

    def __init__(self, kafka: KafkaSettings, topic_id: str) -> None:
        self._kafka, self._topic_id = kafka, topic_id

    def __call__(self) -> None:
        """Check now; a broker that does not answer is left to the query.

        Raises:
            UserError: the topic was deleted and created again.
        """
        try:
            admin = kafka_admin.get_admin(self._kafka)
            topic_id = kafka_admin.read_topic_id(admin, self._kafka.raw_topic, _WATCH_KAFKA_SECONDS)
        except KafkaException:
            return
        if topic_id != self._topic_id:
            raise _make_loss_error(LostMessages(self._kafka.raw_topic, recreated=True))


def _read_topic(cursor: PgCursor, kafka: KafkaSettings) -> TopicState:
    try:
        return read_topic_state(cursor, kafka)
    except KafkaException as error:
        raise NotReadyError(
            f"Kafka at {kafka.bootstrap_servers} does not answer ({error.args[0].str()});"
            " check that it is running, and the INSIGHTS_KAFKA_* variables."
        ) from error


def _find_loss(kafka: KafkaSettings, postgres: PostgresSettings) -> LostMessages:
    try:
        with (
            closing(connections.connect_postgres(postgres, "stream")) as connection,
            connection.cursor() as cursor,
        ):
            position, topic_id, watermarks = _read_topic(cursor, kafka)
    except UserError:
        return LostMessages(kafka.raw_topic)
    return find_lost(kafka.raw_topic, position, topic_id, watermarks)


def _make_loss_error(lost: LostMessages) -> UserError:
    return UserError(f"{lost.sentence()}; {SKIP_REMEDY}.")


def _name_checkpoint(checkpoint: str, start: StartingOffsets) -> str:
    return checkpoint if start.first else f"{checkpoint}/from-{start.seq}"


def _find_reason_to_leave(
    spark: SparkSession, checkpoint: str, cursor: PgCursor, topic: str, watermarks: Watermarks
) -> str | None:
    """Why a query cannot go on with the checkpoint; None also if it is damaged, which the query itself reports."""
    try:
        next_offsets = read_next_offsets(spark, checkpoint).get(topic, {})
        committed = read_last_committed(spark, checkpoint)
    except UserError:
        return None
    if any(next_offsets.get(str(partition), low) < low for partition, (low, _) in watermarks.items()):
        return "messages that Spark would read again left the topic, and all were merged"
    if committed is not None and not has_batch(cursor, *committed):
        return "PostgreSQL, which was restored or has failed over, lacks batches that the checkpoint has"
    return None
