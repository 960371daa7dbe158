"""The stream's position on the raw topic, as PostgreSQL records it, and the messages that were lost before it came."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import psycopg2.extras
from psycopg2.extensions import cursor as PgCursor

from insights.clients import kafka_admin
from insights.clients.merge_order import allocate_seq, lock_merges
from insights.settings import KafkaSettings
from insights.text import format_count

Watermarks = Mapping[int, tuple[int, int]]
"""By partition: the low and the high watermark, that is, the oldest offset and the end offset."""
Ranges = Mapping[int, tuple[int, int]]
"""By partition: the first offset and the end offset of a range."""

SKIP_REMEDY = (
    "run `insights skip-lost`, which records the loss and lets the stream go on, and `insights check`, which names what"
    " `insights replay` can bring back"
)


@dataclass(frozen=True, slots=True)
class StartingOffsets:
    """A row of `analytics.starting_offsets`: the stream reads the topic with this id from these offsets."""

    seq: int
    topic_id: str
    offsets: Mapping[int, int]
    first: bool
    """Whether it is the topic's first row; a later one has a checkpoint of its own."""


@dataclass(frozen=True, slots=True)
class StreamPosition:
    """What the stream has merged. `offsets`: the end offset by partition, of the topic with the id of `start`."""

    start: StartingOffsets | None
    offsets: Mapping[int, int]


@dataclass(frozen=True, slots=True)
class LostMessages:
    """Messages of a topic that nobody can read any more and that no merged batch has read."""

    topic: str
    recreated: bool = False
    """Whether the topic that the stream was reading was deleted and created again."""
    ranges: Ranges = field(default_factory=dict)

    def __bool__(self) -> bool:
        return self.recreated or bool(self.ranges)

    @property
    def count(self) -> int:
        """The number of offsets in the ranges."""
        return sum(until - since for since, until in self.ranges.values())

    def list_ranges(self) -> tuple[str, ...]:
        """Each range by its topic, partition, first and last offset."""
        return tuple(
            f"{self.topic}/{partition} offsets {since} to {until - 1}"
            for partition, (since, until) in sorted(self.ranges.items())
        )

    def sentence(self) -> str:
        """What was lost, as a clause without a full stop."""
        if self.recreated:
            return (
                f"Kafka topic {self.topic} was deleted and created again, or truncated, after the stream had read from"
                " it: what it had not read is lost, and its offsets no longer apply"
            )
        return (
            f"{format_count(self.count, 'message', 'messages')} of Kafka topic {self.topic}"
            f" {'was' if self.count == 1 else 'were'} deleted before the stream read"
            f" {'it' if self.count == 1 else 'them'} ({', '.join(self.list_ranges())})"
        )


class TopicState(NamedTuple):
    """A stream's position on a topic and, read after it, the topic's id and watermarks."""

    position: StreamPosition
    topic_id: str
    watermarks: Watermarks


def read_topic_state(cursor: PgCursor, kafka: KafkaSettings) -> TopicState:
    """Read the position of the stream on the raw topic, and the state of the topic.

    Raises:
        KafkaException: no broker answers.
        UserError: the topic does not exist, or a partition has no leader.
    """
    admin, topic = kafka_admin.get_admin(kafka), kafka.raw_topic
    position = read_position(cursor, topic)
    topic_id = kafka_admin.read_topic_id(admin, topic)
    return TopicState(position, topic_id, kafka_admin.read_watermarks(admin, topic))


def read_position(cursor: PgCursor, topic: str) -> StreamPosition:
    """Read the position of the stream on a topic.

    Only the last batch of each query is read: it names every partition.
    """
    start = _read_start(cursor, topic)
    offsets = dict(start.offsets) if start else {}
    cursor.execute(
        """
        WITH RECURSIVE query AS (
            SELECT min(query_id) AS id FROM analytics.batches
            UNION ALL SELECT (SELECT min(query_id) FROM analytics.batches WHERE query_id > id) FROM query
            WHERE id IS NOT NULL
        )
        SELECT read.partition::integer, max((read.span->>1)::bigint)
        FROM query,
            LATERAL (
                SELECT offsets, seq FROM analytics.batches WHERE query_id = id ORDER BY batch_id DESC LIMIT 1
            ) AS last,
            jsonb_each(last.offsets -> %(topic)s) AS read(partition, span)
        WHERE last.seq > %(after)s
        GROUP BY 1
        """,
        {"topic": topic, "after": start.seq if start else -1},
    )
    for partition, offset in cursor.fetchall():
        offsets[partition] = max(offset, offsets.get(partition, 0))
    return StreamPosition(start, offsets)


def has_batch(cursor: PgCursor, query_id: str, number: int) -> bool:
    """Whether PostgreSQL has a merged micro-batch. Retention keeps the last one of every query."""
    cursor.execute("SELECT FROM analytics.batches WHERE query_id = %s AND batch_id = %s", (query_id, number))
    return cursor.fetchone() is not None


def find_lost(topic: str, position: StreamPosition, topic_id: str, watermarks: Watermarks) -> LostMessages:
    """Compare the position with the topic: what lies between the merged offsets and the low watermarks is lost.

    The position must have been read before the watermarks: an offset beyond the end shows that the topic is another.
    Nothing is lost of a topic that the stream never read: it begins wherever the topic does.
    """
    if position.start is None and not position.offsets:
        return LostMessages(topic)
    other_topic = position.start is not None and position.start.topic_id != topic_id
    beyond_end = any(offset > watermarks.get(partition, (0, 0))[1] for partition, offset in position.offsets.items())
    if other_topic or beyond_end:
        return LostMessages(topic, recreated=True)
    lost = {
        partition: (position.offsets.get(partition, 0), low)
        for partition, (low, _) in watermarks.items()
        if position.offsets.get(partition, 0) < low
    }
    return LostMessages(topic, ranges=lost)


def count_recorded_losses(cursor: PgCursor, topic: str, topic_id: str) -> int:
    """The number of offsets of the topic with this id that are recorded as lost."""
    cursor.execute(
        """
        SELECT coalesce(sum((span->>1)::bigint - (span->>0)::bigint), 0)::bigint
        FROM analytics.starting_offsets, jsonb_each(lost) AS losses(partition, span)
        WHERE topic = %s AND topic_id = %s""",
        (topic, topic_id),
    )
    ((count,),) = cursor.fetchall()
    return int(count)


def record_start(
    cursor: PgCursor, topic: str, topic_id: str, offsets: Mapping[int, int], lost: LostMessages
) -> StartingOffsets:
    """Insert a row in the caller's transaction, and return it. Merges wait until the transaction ends."""
    lock_merges(cursor)
    first = _read_start(cursor, topic) is None
    seq = allocate_seq(cursor)
    cursor.execute(
        "INSERT INTO analytics.starting_offsets (topic, seq, topic_id, offsets, lost, recreated)"
        " VALUES (%s, %s, %s, %s, %s, %s)",
        (topic, seq, topic_id, *map(psycopg2.extras.Json, (offsets, lost.ranges)), lost.recreated),
    )
    return StartingOffsets(seq, topic_id, offsets, first)


def _read_start(cursor: PgCursor, topic: str) -> StartingOffsets | None:
    cursor.execute(
        """
        SELECT seq, topic_id, offsets, seq = min(seq) OVER () FROM analytics.starting_offsets WHERE topic = %s
        ORDER BY seq DESC LIMIT 1""",
        (topic,),
    )
    row = cursor.fetchone()
    if row is None:
        return None
    seq, topic_id, offsets, first = row
    return StartingOffsets(seq, topic_id, {int(partition): offset for partition, offset in offsets.items()}, first)
