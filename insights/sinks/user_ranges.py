"""Ranges of user ids, and the rows of a merged batch in such a range, as PostgreSQL stores them.

Cassandra is written from these: a task on an executor reads the rows of its range, so that none passes the driver, and
a repeated attempt reads what is stored by then.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple
from uuid import UUID

import pyarrow as pa
from psycopg2.extensions import connection as PgConnection

from insights.model.schema import MAX_ARRIVALS
from insights.sinks.user_rows import STORED_SCHEMA, read_table

_COLUMNS = ", ".join(STORED_SCHEMA.names)
_SELECT_RANGE = f"""
    SELECT {_COLUMNS} FROM analytics.users
    WHERE user_id BETWEEN %(first)s::uuid AND %(last)s::uuid
"""
_OF_BATCHES = "AND seq = ANY(%(seqs)s)"
_SELECT_NEWEST = f"""
    SELECT newest.* FROM unnest(%(seqs)s) AS batch (seq) CROSS JOIN LATERAL (
        SELECT {_COLUMNS} FROM analytics.users WHERE users.seq = batch.seq
        ORDER BY event_time DESC, version DESC LIMIT %(limit)s
    ) AS newest
"""
MOVES_SCHEMA = pa.schema(
    {
        "user_id": pa.string(),
        "version": pa.int64(),
        "country_code": pa.string(),
        "registered_month": pa.string(),
        "registered_at": pa.timestamp("us", "UTC"),
    }
)
_SELECT_MOVES = f"""
    SELECT {", ".join(MOVES_SCHEMA.names)} FROM analytics.moved
    WHERE seq IN (SELECT seq FROM analytics.batches WHERE served_at IS NULL UNION ALL SELECT unnest(%(seqs)s::bigint[]))
        AND user_id BETWEEN %(first)s::uuid AND %(last)s::uuid
"""


class UserRange(NamedTuple):
    """The users with ids between two UUIDs, both of which are in the range."""

    first: str
    last: str


ALL_USERS = UserRange(str(UUID(int=0)), str(UUID(int=(1 << 128) - 1)))


def split_users(parts: int, users: UserRange = ALL_USERS) -> list[UserRange]:
    """Split users into ranges of equal size.

    A power of two of all users, up to `BUCKETS`, splits no partition of a country or month.
    """
    first, size = UUID(users.first).int, UUID(users.last).int + 1 - UUID(users.first).int
    edges = [first + part * size // parts for part in range(parts + 1)]
    return [UserRange(str(UUID(int=low)), str(UUID(int=high - 1))) for low, high in pairwise(edges)]


def read_users(connection: PgConnection, seqs: Sequence[int] | None, users: UserRange = ALL_USERS) -> pa.Table:
    """The rows that the batches with these sequence numbers wrote last, in the columns of `STORED_SCHEMA`.

    Without sequence numbers, those of all batches.
    """
    query, parameters = _SELECT_RANGE, dict[str, object](users._asdict())
    if seqs is not None:
        query, parameters = query + _OF_BATCHES, parameters | {"seqs": list(seqs)}
    return read_table(connection, query, parameters, STORED_SCHEMA)


def read_newest_users(connection: PgConnection, seqs: Sequence[int]) -> pa.Table:
    """The newest `MAX_ARRIVALS` of these rows of each batch."""
    return read_table(connection, _SELECT_NEWEST, {"seqs": list(seqs), "limit": MAX_ARRIVALS}, STORED_SCHEMA)


def read_moves(connection: PgConnection, seqs: Sequence[int], users: UserRange = ALL_USERS) -> pa.Table:
    """Old keys (user_id, version, country_code, registered_month, registered_at) that these batches left behind.

    Those of all undelivered batches are among them. The country is null if the user's row in
    `user_summaries_by_country` did not move; likewise the month.
    """
    return read_table(connection, _SELECT_MOVES, {**users._asdict(), "seqs": list(seqs)}, MOVES_SCHEMA)
