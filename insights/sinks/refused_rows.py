"""The rows of a merge that a sink has refused before, and the users whose refused rows may have left traces.

Both work on the temporary table `incoming` in the transaction of a merge, whose lock the caller holds.
"""

from collections.abc import Sequence
from typing import NamedTuple

from psycopg2.extensions import cursor as PgCursor

from insights.clients.sql import fetch_row
from insights.model.quarantine import Refusal

_EXISTS = "SELECT EXISTS (SELECT FROM quarantine.records WHERE reason = 'SINK_REFUSED')"
# The event and its time tell a message from one at the same offset of a topic that was created again.
_SKIP = """
    DELETE FROM incoming AS i USING quarantine.records AS r
    WHERE r.origin = i.origin AND r.event_id = i.event_id AND r.event_time = i.event_time AND r.reason = 'SINK_REFUSED'
    RETURNING r.origin, r.event_id, i.user_id::text, r.field, r.detail, r.version
"""
# What Cassandra refused may have been written to some of its tables and deleted again: rows with older write timestamps
# would stay hidden behind the deletion.
_RAISE_VERSIONS = """
    UPDATE incoming AS i SET version = refused.version + 1, digest = NULL
    FROM (
        SELECT key, max(version) AS version FROM quarantine.records
        WHERE reason = 'SINK_REFUSED' AND field = 'Cassandra' AND key IN (SELECT user_id::text FROM incoming)
        GROUP BY key
    ) AS refused
    WHERE refused.key = i.user_id::text AND i.version <= refused.version
"""


class CountKey(NamedTuple):
    """The key of a count."""

    dimension: str
    value: str


class SkippedRows(NamedTuple):
    """The refusals of the rows that were skipped, by origin, and their events and users."""

    refusals: dict[str, Refusal]
    event_ids: Sequence[str]
    user_ids: Sequence[str]


def skip_refused(cursor: PgCursor) -> SkippedRows:
    """Remove from `incoming` the rows that a sink has refused before: a message is not tried twice."""
    if not _is_any_refused(cursor):
        return SkippedRows({}, [], [])
    cursor.execute(_SKIP)
    rows = cursor.fetchall()
    refusals = {origin: Refusal(store, detail, version) for origin, _, _, store, detail, version in rows}
    return SkippedRows(refusals, [row[1] for row in rows], [row[2] for row in rows])


def raise_versions(cursor: PgCursor) -> bool:
    """Raise the versions of the rows of `incoming` above those of rows of the same users that Cassandra refused.

    Returns whether any row changed; such a row loses its digest.
    """
    if not _is_any_refused(cursor):
        return False
    cursor.execute(_RAISE_VERSIONS)
    return cursor.rowcount > 0


def _is_any_refused(cursor: PgCursor) -> bool:
    cursor.execute(_EXISTS)
    return bool(fetch_row(cursor)[0])
