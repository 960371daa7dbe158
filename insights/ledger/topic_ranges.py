"""Ranges of the raw topic: each message is that of a staged record, and what it carries has landed or is unread."""

from collections.abc import Mapping
from contextlib import closing

from psycopg2.extensions import cursor as PgCursor

from insights.clients.sql import fetch_row
from insights.clients.stream_position import Watermarks
from insights.ledger.events import group_messages, load_messages
from insights.ledger.record_ranges import RANGE_ROWS, list_days
from insights.ledger.record_sql import STORED_DIGEST, build_landed_sql, build_number_sql, build_undone_sql
from insights.ledger.suspicion import Compared, require
from insights.ledger.topic import RawTopic
from insights.ledger.verified import Walk
from insights.settings import KafkaSettings

_CHECK_MESSAGES = f"""
    SELECT count(*), count(*) FILTER (WHERE NOT read AND NOT landed),
        count(*) FILTER (
            WHERE number IS NULL AND event_id ~ '^[0-9]+$' OR number IS NOT NULL AND staged AND NOT keyed AND NOT undone
        ),
        count(*) FILTER (WHERE changed OR digest IS NOT NULL AND keyed AND NOT kept AND %(new)s),
        count(*) FILTER (WHERE read AND NOT landed AND (keyed OR undone OR event_id !~ '^[0-9]+$'))
    FROM (
        SELECT m.event_id, m.number, m.digest,
            m."offset" < s.read_until AS read, m."offset" < s.staged_before AS staged,
            k.id IS NOT NULL AS keyed, k.id IS NULL AND {build_undone_sql("m.number")} AS undone,
            u.id IS NOT NULL AS kept, {build_landed_sql("m.event_id")} AS landed,
            u.id IS NOT NULL AND coalesce(m.digest <> coalesce(u.digest, {STORED_DIGEST}), false) AS changed
        FROM (SELECT *, {build_number_sql("event_id")} AS number FROM topic_message) AS m
        JOIN topic_span AS s USING (partition)
        LEFT JOIN staging.user_keys AS k ON k.id = m.number
        LEFT JOIN staging.users AS u ON u.staged_on = ANY(%(days)s::date[]) AND u.id = k.id
    ) AS messages
"""


class TopicRanges:
    """The ranges of the topic.

    Args:
        cursor: reads the snapshot.
        settings: of the topic.
        watermarks: of the topic, read after the snapshot was taken.
        watermarks_before: read before.
        stream_offsets: the end offset of the merged batches, by partition.
    """

    def __init__(
        self,
        cursor: PgCursor,
        settings: KafkaSettings,
        watermarks: Watermarks,
        watermarks_before: Watermarks,
        stream_offsets: Mapping[int, int],
    ) -> None:
        self._cursor, self._settings, self._watermarks = cursor, settings, watermarks
        self._before, self._stream_offsets = watermarks_before, stream_offsets

    def check_tail(self, offsets: Mapping[int, int], compared: Compared) -> dict[int, int]:
        """Check the messages after these offsets, and leave their events in `topic_event`.

        Returns the offsets up to which all is verified.

        Raises:
            SuspicionError: something is wrong.
        """
        ends = {}
        tail = {}
        for partition, (low, high) in self._watermarks.items():
            tail[partition] = (min(high, max(low, offsets.get(partition, 0))), high)
            ends[partition] = min(self._stream_offsets.get(partition, 0), high)
        self._check(tail, True, compared)
        group_messages(self._cursor)
        return ends

    def scrub(self, offsets: Mapping[int, int], walk: Walk, compared: Compared) -> None:
        """Check the next messages before these offsets again.

        Raises:
            SuspicionError: something is wrong.
        """
        partition, position = walk.position or (-1, 0)
        for number, (low, _) in sorted(self._watermarks.items()):
            end = offsets.get(number, 0)
            start = max(low, position) if number == partition else low
            if number < partition or start >= end:
                continue
            last = min(end, start + RANGE_ROWS)
            self._check({number: (start, last)}, False, compared)
            walk.advance([number, last])
            return
        walk.advance(None)

    def _check(self, ranges: Watermarks, new: bool, compared: Compared) -> None:
        with closing(RawTopic(self._settings)) as topic:
            load_messages(self._cursor, topic.events(ranges), self._before, self._stream_offsets)
        self._cursor.execute("ANALYZE topic_message")
        self._cursor.execute(_CHECK_MESSAGES, {"new": new, "days": list_days(self._cursor)})
        rows, pending, unknown, changed, lost = fetch_row(self._cursor)
        require(not unknown, "a message is not that of a staged record")
        require(not changed, "a message is not as its record was staged")
        require(not lost, "what a message carries has not landed")
        compared.add(rows, pending)
