"""Walks through the rows of PostgreSQL that are neither staged records nor users: quarantine, superseded, batches."""

from datetime import datetime, timedelta
from typing import Any, NamedTuple

from psycopg2.extensions import cursor as PgCursor

from insights.clients.sql import fetch_row
from insights.ledger.contents import RECORD_DIGEST
from insights.ledger.digest import build_texts_digest_sql
from insights.ledger.record_ranges import RANGE_ROWS
from insights.ledger.record_sql import build_known_sql
from insights.ledger.suspicion import Compared, require
from insights.ledger.verified import Walk
from insights.model.batch import BATCH_DIGESTED

LONGEST_TRANSACTION = timedelta(hours=1)
"""Rows have the time at which their transaction began: those from this long before the last check may be new."""
SCRUBBED_RECORDS = 5000
"""Quarantine records that one check compares again. They have payloads."""
SCRUBBED_BATCHES = 5000

_WHERE = "<the range>"
"""Stands in the queries for the condition that selects a range."""

# A batch is missing if its query has one before and one after it, as in `contents`.
_CHECK_BATCHES = f"""
    SELECT count(*), max(seq), count(*) FILTER (WHERE digest <> {build_texts_digest_sql(*BATCH_DIGESTED)}),
        count(*) FILTER (WHERE served_at IS NOT NULL AND batch_id + 1 < (
            SELECT min(n.batch_id) FROM analytics.batches AS n WHERE n.query_id = b.query_id AND n.batch_id > b.batch_id
        ))
    FROM (SELECT * FROM analytics.batches WHERE {_WHERE}) AS b
"""
_CHECK_QUARANTINE = f"""
    SELECT count(*), max(origin), count(*) FILTER (WHERE digest <> {RECORD_DIGEST}),
        count(*) FILTER (WHERE resolved_at IS NULL AND NOT ({build_known_sql("q.event_id")}))
    FROM (SELECT * FROM quarantine.records WHERE {_WHERE}) AS q
"""
_CHECK_SUPERSEDED = f"""
    SELECT count(*) FILTER (WHERE NOT ({build_known_sql("s.event_id")}))
    FROM (SELECT event_id FROM analytics.superseded WHERE (event_id, user_id) > (%(event)s, %(user)s::uuid)
          AND (event_id, user_id) <= (%(last_event)s, %(last_user)s::uuid)) AS s
"""


class _Kind(NamedTuple):
    """Rows that are walked through in the order of a key.

    `query` selects their number, the last key and, for each of `complaints`, the number of rows of which it is true.
    """

    query: str
    complaints: tuple[str, str]
    key: str
    before_all: Any


_BATCHES = _Kind(_CHECK_BATCHES, ("a batch was changed", "a batch is missing"), "seq", -1)
_QUARANTINE = _Kind(
    _CHECK_QUARANTINE,
    ("a record in quarantine was changed", "a record in quarantine is not that of a staged one"),
    "origin",
    "",
)


def check_new_quarantine(cursor: PgCursor, since: datetime, compared: Compared) -> None:
    """Check the records quarantined since then.

    Raises:
        SuspicionError: something is wrong.
    """
    parameters = {"since": since - LONGEST_TRANSACTION}
    _check_rows(cursor, _QUARANTINE, "quarantined_at >= %(since)s", parameters, compared)


def scrub_quarantine(cursor: PgCursor, walk: Walk, compared: Compared) -> None:
    """Check the next records in quarantine again.

    Raises:
        SuspicionError: something is wrong.
    """
    _scrub(cursor, _QUARANTINE, walk, SCRUBBED_RECORDS, compared)


def check_new_batches(cursor: PgCursor, seq: int, compared: Compared) -> None:
    """Check the batches merged after `seq`.

    Raises:
        SuspicionError: something is wrong.
    """
    _check_rows(cursor, _BATCHES, "seq > %(seq)s", {"seq": seq}, compared)


def scrub_batches(cursor: PgCursor, walk: Walk, compared: Compared) -> None:
    """Check the next batches again.

    Raises:
        SuspicionError: something is wrong.
    """
    _scrub(cursor, _BATCHES, walk, SCRUBBED_BATCHES, compared)


def scrub_superseded(cursor: PgCursor, walk: Walk) -> None:
    """Check that the next superseded events are those of records.

    Raises:
        SuspicionError: something is wrong.
    """
    event, user = walk.position or ("", "00000000-0000-0000-0000-000000000000")
    parameters = {"event": event, "user": user, "rows": RANGE_ROWS}
    cursor.execute(
        """
        SELECT event_id, user_id::text FROM analytics.superseded WHERE (event_id, user_id) > (%(event)s, %(user)s::uuid)
        ORDER BY analytics.superseded.event_id, analytics.superseded.user_id OFFSET %(rows)s - 1 LIMIT 1""",
        parameters,
    )
    last = cursor.fetchone()
    if last is None:
        cursor.execute(
            "SELECT event_id, user_id::text FROM analytics.superseded"
            " ORDER BY analytics.superseded.event_id DESC, analytics.superseded.user_id DESC LIMIT 1"
        )
    end = last or cursor.fetchone()
    if end:
        cursor.execute(_CHECK_SUPERSEDED, parameters | {"last_event": end[0], "last_user": end[1]})
        require(fetch_row(cursor) == (0,), "a superseded event is not that of a staged record")
    walk.advance(list(last) if last else None)


def _scrub(cursor: PgCursor, kind: _Kind, walk: Walk, limit: int, compared: Compared) -> None:
    where = f"{kind.key} > %(after)s ORDER BY {kind.key} LIMIT %(rows)s"
    after = kind.before_all if walk.position is None else walk.position
    rows, last = _check_rows(cursor, kind, where, {"after": after, "rows": limit}, compared)
    walk.advance(last if rows == limit else None)


def _check_rows(
    cursor: PgCursor, kind: _Kind, where: str, parameters: dict[str, Any], compared: Compared
) -> tuple[int, Any]:
    """Check a range of rows. Returns their number and the last key."""
    cursor.execute(kind.query.replace(_WHERE, where), parameters)
    rows, last, *wrong = fetch_row(cursor)
    for number, complaint in zip(wrong, kind.complaints, strict=True):
        require(not number, complaint)
    compared.add(rows)
    return rows, last
