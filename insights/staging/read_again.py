"""Read staged rows again, as messages with a newer version."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from uuid import UUID

from psycopg2.extensions import connection as PgConnection

from insights.model.message import RawMessage

_CLOCK_SKEW = timedelta(hours=1)
"""How far the clock of the fetching host may be ahead of the server's clock, whose date selects the partition."""
_FROM_PERIOD = "FROM staging.users AS s WHERE event_time >= %(from)s AND event_time < %(to)s AND staged_on >= %(day)s"
# As a newer version, such a row would replace what is served.
_REPLACED = """
    (EXISTS (SELECT FROM analytics.superseded AS e JOIN analytics.users AS u USING (user_id)
             WHERE e.event_id = s.id::text AND u.event_id <> e.event_id)
     OR EXISTS (SELECT FROM quarantine.redrives AS d WHERE d.event_id = s.id::text AND d.patched))
"""
COUNT_PERIOD = f"""
    SELECT (event_time AT TIME ZONE 'UTC')::date, count(*) FILTER (WHERE NOT {_REPLACED}),
        count(*) FILTER (WHERE {_REPLACED})
    {_FROM_PERIOD} GROUP BY 1 ORDER BY 1
"""
"""By UTC day of fetching: the rows that `read_period` reads, and those that it leaves out."""


def make_parameters(from_: datetime, to: datetime) -> dict[str, object]:
    """The parameters of `COUNT_PERIOD`."""
    return {"from": from_, "to": to, "day": (from_.astimezone(UTC) - _CLOCK_SKEW).date()}


def read_period(
    connection: PgConnection, from_: datetime, to: datetime, fetch_rows: int = 2000
) -> Iterator[RawMessage]:
    """The rows fetched from `from_` (inclusive) to `to` (exclusive), as messages with a newer version, in commit order.

    Leaves out rows whose user is served from a newer record, and those that a re-drive has corrected. Reads through a
    server-side cursor that holds at most `fetch_rows` rows in memory.
    """
    with connection, connection.cursor("replay") as cursor:
        cursor.itersize = fetch_rows
        cursor.execute(
            f"""
            SELECT id, user_key::text, payload::text, batch_id, event_time,
                   greatest((extract(epoch FROM clock_timestamp()) * 1000000)::bigint, version + 1)
            {_FROM_PERIOD} AND NOT {_REPLACED}
            ORDER BY epoch, xact_id, id
            """,
            make_parameters(from_, to),
        )
        for id_, key, payload, batch_id, event_time, version in cursor:
            yield RawMessage(str(id_), UUID(key), payload.encode(), batch_id, version, event_time)
