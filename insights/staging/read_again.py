"""Read staged rows again, as messages with a newer version."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from uuid import UUID

from psycopg2.extensions import connection as PgConnection

from insights.model.message import RawMessage

_CLOCK_SKEW = timedelta(hours=1)
"""How far the clock of the fetching host may be ahead of the server's clock, whose date selects the partition."""


def read_period(
    connection: PgConnection, from_: datetime, to: datetime, fetch_rows: int = 2000
) -> Iterator[RawMessage]:
    """The rows fetched from `from_` (inclusive) to `to` (exclusive), as messages with a newer version, in commit order.

    Reads through a server-side cursor that holds at most `fetch_rows` rows in memory.
    """
    with connection, connection.cursor("replay") as cursor:
        cursor.itersize = fetch_rows
        cursor.execute(
            """
            SELECT id, user_key::text, payload::text, batch_id, event_time,
                   greatest((extract(epoch FROM clock_timestamp()) * 1000000)::bigint, version + 1)
            FROM staging.users
            WHERE event_time >= %(from)s AND event_time < %(to)s AND staged_on >= %(day)s
            ORDER BY epoch, xact_id, id
            """,
            {"from": from_, "to": to, "day": (from_.astimezone(UTC) - _CLOCK_SKEW).date()},
        )
        for id_, key, payload, batch_id, event_time, version in cursor:
            yield RawMessage(str(id_), UUID(key), payload.encode(), batch_id, version, event_time)
