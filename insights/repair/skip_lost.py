"""Record messages that were lost before the stream read them, so that the stream goes on behind them."""

from contextlib import closing

from confluent_kafka import KafkaException

from insights import failpoints
from insights.clients import connections
from insights.clients.merge_order import lock_merges
from insights.clients.stream_position import LostMessages, find_lost, read_topic_state, record_start
from insights.errors import UserError
from insights.settings import KafkaSettings, PostgresSettings


def find_lost_messages(kafka: KafkaSettings, postgres: PostgresSettings) -> LostMessages:
    """Find what was lost and is not recorded.

    Raises:
        UserError: a store cannot be reached.
    """
    return _compare(kafka, postgres, record=False)


def skip_lost_messages(kafka: KafkaSettings, postgres: PostgresSettings) -> LostMessages:
    """Record what was lost, and where the stream goes on: behind the lost messages, or at the start of a new topic.

    Raises:
        UserError: a store cannot be reached.
    """
    return _compare(kafka, postgres, record=True)


def _compare(kafka: KafkaSettings, postgres: PostgresSettings, record: bool) -> LostMessages:
    topic = kafka.raw_topic
    with (
        closing(connections.connect_postgres(postgres, "skip-lost")) as connection,
        connection,
        connection.cursor() as cursor,
    ):
        if record:
            lock_merges(cursor)
        try:
            position, topic_id, watermarks = read_topic_state(cursor, kafka)
        except KafkaException as error:
            raise UserError(
                f"Kafka at {kafka.bootstrap_servers} cannot be read ({error.args[0].str()});"
                " make sure that it is running."
            ) from error
        lost = find_lost(topic, position, topic_id, watermarks)
        if lost and record:
            read = {} if lost.recreated else position.offsets
            offsets = {partition: max(low, read.get(partition, 0)) for partition, (low, _) in watermarks.items()}
            record_start(cursor, topic, topic_id, offsets, lost)
    failpoints.reach("loss.recorded")
    return lost
