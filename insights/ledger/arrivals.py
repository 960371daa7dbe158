"""The hop of `latest_arrivals`: the newest users of each batch, which the table keeps for some days.

Which of the users of a page are the newest is arbitrary, since they were fetched at the same time. So the check counts
how many users of each batch the table must have at least, and compares the content of those that it has.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from cassandra.cluster import EXEC_PROFILE_DEFAULT, Session
from cassandra.query import tuple_factory
from psycopg2.extensions import cursor as PgCursor

from insights.clients.sql import fetch_row
from insights.ledger.digest import build_digest_sql, build_image_sql, parse_cell
from insights.ledger.hops import MAX_NAMED_IDS, Hop, evaluate_hop
from insights.ledger.in_flight import InFlightRows
from insights.ledger.scratch import copy_lines
from insights.ledger.suspicion import Compared, require
from insights.ledger.table_digests import USER_ID, describe_changed, list_compared_columns, read_images, read_page
from insights.ledger.verified import Walk
from insights.model.batch import RECOUNT
from insights.model.digest import digest_bytes
from insights.model.schema import ARRIVALS_KEPT, MAX_ARRIVALS

TABLE = "latest_arrivals"
_EXPIRY_MARGIN = timedelta(hours=1)
"""Rows of a batch merged this long before their time to live ends may already have expired when they are read."""
_VERSION_AT = 20
"""The position of `version`, which follows `user_id`, in an image."""
ALL_BATCHES = (-1, (1 << 63) - 1)
SCRUBBED_ROWS = 10_000
"""Rows of the table that one check compares again."""
_MAX_INVENTED = 20_000
"""Rows without a user in the snapshot that are looked up among those merged since."""

# Users that a later batch has overwritten are not counted, and may have been any of the newest. A stream with a new
# checkpoint reads the messages of earlier batches again, in batches of other sizes, perhaps into an empty table.
_BATCHES = """
    WITH recent AS (
        SELECT seq, query_id || '/' || batch_id AS name, accepted FROM analytics.batches
        WHERE seq > %(after)s AND seq <= %(last)s
        AND merged_at > now() - %(kept)s AND seq <> ALL(%(undelivered)s) AND accepted > 0 AND query_id = (
            SELECT query_id FROM analytics.batches WHERE query_id <> %(recount)s ORDER BY seq DESC LIMIT 1
        )
    ), stored AS (
        SELECT seq, count(*) AS users, count(*) FILTER (WHERE EXISTS (
            SELECT FROM arrival AS a WHERE a.user_id = u.user_id AND a.arrived_version = u.version
        )) AS present
        FROM analytics.users AS u WHERE seq IN (SELECT seq FROM recent) GROUP BY seq
    ), expected AS (
        SELECT seq, name, accepted, present, least(%(newest)s, accepted) - (accepted - users) AS least
        FROM recent JOIN stored USING (seq) WHERE users <= accepted
    )
"""
# Between the instants of the batches' users: the rows of other batches there are compared too.
_SPANS = f"""{_BATCHES}
    SELECT to_char(event_time AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24'), min(event_time), max(event_time)
    FROM analytics.users JOIN expected USING (seq) GROUP BY 1
"""
_TOTAL = f"{_BATCHES} SELECT coalesce(sum(greatest(least, 0)), 0), coalesce(sum(greatest(least - present, 0)), 0)"
_MISSING_USERS = f"""{_BATCHES}
    SELECT u.user_id FROM analytics.users AS u JOIN expected USING (seq)
    WHERE present < least AND accepted <= %(newest)s
    AND NOT EXISTS (SELECT FROM arrival AS a WHERE a.user_id = u.user_id AND a.arrived_version = u.version)
    ORDER BY u.user_id LIMIT %(named)s
"""
_INCOMPLETE_BATCHES = f"""{_BATCHES}
    SELECT 'batch ' || name || ' (' || present || ' of ' || least || ')' FROM expected
    WHERE present < least AND accepted > %(newest)s ORDER BY seq LIMIT %(named)s
"""


class _Row(NamedTuple):
    """The key of a row of the table."""

    hour: str
    event_time: Any
    user_id: UUID


def check_arrivals(cursor: PgCursor, session: Session, in_flight: InFlightRows) -> Hop:
    """Compare `latest_arrivals` with the users of the batches of the last days in the cursor's snapshot.

    Args:
        cursor: reads the snapshot, and has the scratch table `arrival`.
        session: returns images (`ImageProtocol`).
        in_flight: the rows in which Cassandra may differ from the snapshot.
    """
    copy_lines(cursor, "arrival", map(_format_line, read_images(session, TABLE, _list_columns())))
    cursor.execute("ANALYZE arrival")
    parameters = _make_parameters(in_flight, *ALL_BATCHES)
    cursor.execute(f"{_TOTAL} FROM expected", parameters)
    expected, missing = (int(value) for value in fetch_row(cursor))
    names: list[str] = []
    if missing and not in_flight.refilling:
        for query in (_MISSING_USERS, _INCOMPLETE_BATCHES):
            cursor.execute(query, parameters)
            names += [str(name) for (name,) in cursor.fetchall()]
    days = ARRIVALS_KEPT // timedelta(days=1)
    return evaluate_hop(
        TABLE,
        f"{TABLE} = the {MAX_ARRIVALS} newest users of each batch",
        expected,
        expected - missing,
        pending=missing if in_flight.refilling else 0,
        missing=names[:MAX_NAMED_IDS],
        extra=_list_invented(cursor, in_flight),
        changed=_list_changed(cursor, session),
        holds=f"{expected:,} of the newest users are there, with the content of PostgreSQL.",
        uncovered=f"batches merged over {days} days ago or with an earlier checkpoint, and earlier versions of users",
    )


def check_batch_arrivals(
    cursor: PgCursor, session: Session, in_flight: InFlightRows, after: int, last: int, compared: Compared
) -> None:
    """Check the arrivals of the batches after sequence number `after` up to `last`.

    Raises:
        SuspicionError: something is wrong.
    """
    parameters = _make_parameters(in_flight, after, last)
    cursor.execute(_SPANS, parameters)
    _load_arrivals(cursor, session, cursor.fetchall())
    cursor.execute(f"{_TOTAL} FROM expected", parameters)
    expected, missing = (int(value) for value in fetch_row(cursor))
    require(not missing, "arrivals of a batch are missing")
    _require_known(cursor, session, in_flight)
    compared.add(expected)


def scrub_arrivals(cursor: PgCursor, session: Session, in_flight: InFlightRows, walk: Walk) -> None:
    """Check that the next rows of the table, in the order of its tokens, are those of users.

    Raises:
        SuspicionError: something is wrong.
    """
    images, position = read_page(session, TABLE, _list_columns(), walk.position, SCRUBBED_ROWS)
    cursor.execute("DELETE FROM arrival")
    copy_lines(cursor, "arrival", map(_format_line, images))
    cursor.execute("ANALYZE arrival")
    _require_known(cursor, session, in_flight)
    walk.advance(position)


def _require_known(cursor: PgCursor, session: Session, in_flight: InFlightRows) -> None:
    require(not _list_invented(cursor, in_flight), "an arrival is not that of a user")
    require(not _list_changed(cursor, session), "an arrival was changed")


def _make_parameters(in_flight: InFlightRows, after: int, last: int) -> dict[str, Any]:
    return {
        "after": after,
        "last": last,
        "kept": ARRIVALS_KEPT - _EXPIRY_MARGIN,
        "undelivered": in_flight.undelivered,
        "recount": RECOUNT,
        "newest": MAX_ARRIVALS,
        "named": MAX_NAMED_IDS,
    }


def _load_arrivals(cursor: PgCursor, session: Session, spans: Iterable[tuple[str, datetime, datetime]]) -> None:
    """Fill `arrival` with the rows of these hours between two instants each."""
    where = "WHERE hour = %s AND event_time >= %s AND event_time <= %s"
    cursor.execute("DELETE FROM arrival")
    for span in spans:
        images = read_images(session, TABLE, _list_columns(), where, span)
        copy_lines(cursor, "arrival", map(_format_line, images))
    cursor.execute("ANALYZE arrival")


def _format_line(image: bytes) -> str:
    version = parse_cell(image, _VERSION_AT)
    text = r"\N" if version is None else str(int.from_bytes(version, "big", signed=True))
    return f"{image[USER_ID].hex()}\t{text}\t{digest_bytes(image)}\n"


def _list_columns() -> list[str]:
    """The columns that are compared, `user_id` and `version` first."""
    names = list_compared_columns(TABLE)
    return ["user_id", "version", *(name for name in names if name not in ("user_id", "version"))]


def _list_invented(cursor: PgCursor, in_flight: InFlightRows) -> list[str]:
    """Rows of users, or of versions, that PostgreSQL does not have."""
    cursor.execute(
        "SELECT DISTINCT uuid_send(a.user_id) FROM arrival AS a LEFT JOIN analytics.users AS u USING (user_id)"
        " WHERE u.user_id IS NULL OR a.arrived_version > u.version ORDER BY 1 LIMIT %s",
        (_MAX_INVENTED,),
    )
    invented = {bytes(user_id) for (user_id,) in cursor.fetchall()}
    if not invented:
        return []
    return [str(UUID(bytes=user_id)) for user_id in sorted(invented - in_flight.select_users(invented))[:MAX_NAMED_IDS]]


def _list_changed(cursor: PgCursor, session: Session) -> list[str]:
    """Rows of the stored version of a user with other content, each with the columns that differ."""
    digest = build_digest_sql(build_image_sql(_list_columns()))
    cursor.execute(
        f"""
        SELECT DISTINCT to_char(u.event_time AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24'), u.event_time, u.user_id::text
        FROM arrival AS a JOIN analytics.users AS u USING (user_id)
        WHERE coalesce(a.arrived_version = u.version AND a.arrived_digest <> {digest}, true) ORDER BY 3 LIMIT %s
        """,
        (MAX_NAMED_IDS,),
    )
    rows = [_Row(hour, event_time, UUID(user_id)) for hour, event_time, user_id in cursor.fetchall()]
    images = {row.user_id.bytes: image for row in rows if (image := _read_image(session, row)) is not None}
    described = describe_changed(cursor, TABLE, images)
    return described + [str(row.user_id) for row in rows if row.user_id.bytes not in images]


def _read_image(session: Session, row: _Row) -> bytes | None:
    query = (
        f"SELECT {', '.join(list_compared_columns(TABLE))} FROM {TABLE}"
        " WHERE hour = %s AND event_time = %s AND user_id = %s"
    )
    profile = session.execution_profile_clone_update(EXEC_PROFILE_DEFAULT, row_factory=tuple_factory)
    found = session.execute(query, row, execution_profile=profile).one()
    return found[0] if found else None
