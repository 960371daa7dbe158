"""What checks have verified so far, kept in PostgreSQL so that the next one need only verify the rest.

It is recorded by a check that found nothing broken, and forgotten when one finds something. It holds under conditions:
the same PostgreSQL cluster on the same timeline, the same topic, and the same tables in Cassandra.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from cassandra.cluster import Session
from psycopg2.extensions import connection as PgConnection
from psycopg2.extensions import cursor as PgCursor
from psycopg2.extras import Json

from insights.clients.page_totals import EXTEND_PAGE_TOTALS, FORGET_PAGE_TOTALS
from insights.clients.sql import fetch_row
from insights.ledger.stores import may_write
from insights.model.schema import CASSANDRA_TABLES

_FORMAT = 1
"""Incremented when the digests or the positions get another meaning."""
_TABLES = ("analytics.verified", "analytics.verified_records", "analytics.verified_counts", "staging.page_totals")


@dataclass(slots=True)
class Walk:
    """A repeated passage through what is verified: the position after which it goes on, and the finished rounds."""

    position: Any = None
    """None at the beginning; otherwise JSON."""
    rounds: int = 0

    def advance(self, position: Any) -> None:
        """Go on after `position` next time, or at the beginning if it is None."""
        self.position = position
        self.rounds += position is None


@dataclass(slots=True)
class Verified:
    """What was verified: records merged up to `seq`, messages up to `offsets`, and the ranges of the other tables."""

    seq: int
    offsets: Mapping[int, int]
    verified_at: datetime
    full_at: datetime
    """When everything was last verified at once."""
    walks: dict[str, Walk] = field(default_factory=dict)

    def walk(self, name: str) -> Walk:
        """The walk of this name, which starts at the beginning if it is new."""
        return self.walks.setdefault(name, Walk())

    @property
    def rounds(self) -> int:
        """How often all that is verified has been compared again."""
        return min((walk.rounds for walk in self.walks.values()), default=0)


def describe_conditions(cursor: PgCursor, session: Session, topic: str, topic_id: str) -> str:
    """What must be as it was when a state was recorded, for the state to hold."""
    cursor.execute("SELECT system_identifier, staging.current_timeline() FROM pg_control_system()")
    cluster = "/".join(map(str, fetch_row(cursor)))
    rows = session.execute(
        "SELECT table_name, id FROM system_schema.tables WHERE keyspace_name = %s", (session.keyspace,)
    )
    names = {*CASSANDRA_TABLES, "user_counts"}
    tables = ",".join(str(table_id) for name, table_id in sorted(rows) if name in names)
    return f"{_FORMAT} {cluster} {topic} {topic_id} {tables}"


def can_record(cursor: PgCursor) -> bool:
    """Whether this login may record what it verifies."""
    return may_write(cursor, _TABLES)


def read_verified(cursor: PgCursor, conditions: str) -> Verified | None:
    """The state that was recorded under these conditions, if any."""
    cursor.execute(
        "SELECT seq, offsets, verified_at, full_at, walks FROM analytics.verified WHERE conditions = %s", (conditions,)
    )
    row = cursor.fetchone()
    if row is None:
        return None
    seq, offsets, verified_at, full_at, walks = row
    return Verified(
        seq,
        {int(partition): offset for partition, offset in offsets.items()},
        verified_at,
        full_at,
        {name: Walk(*walk) for name, walk in walks.items()},
    )


def read_delivered_seq(cursor: PgCursor) -> int:
    """The sequence number up to which every batch is delivered."""
    cursor.execute("""
        SELECT coalesce(
            (SELECT min(seq) - 1 FROM analytics.batches WHERE served_at IS NULL),
            (SELECT max(seq) FROM analytics.batches),
            0
        )""")
    return int(fetch_row(cursor)[0])


def replace_verified(
    connection: PgConnection, conditions: str, state: Verified, former: datetime | None, statements: Sequence[str]
) -> bool:
    """Replace the recorded state in one transaction, and the details with `statements`.

    `former`: when the state was recorded that this one goes on from; None for a state that does not go on from one.
    Returns false, and changes nothing, if another check has recorded a state in the meantime.
    """
    with connection, connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended('insights.verified', 0))")
        cursor.execute(
            "DELETE FROM analytics.verified WHERE verified_at = coalesce(%s, verified_at) RETURNING verified_at",
            (former,),
        )
        if former is not None and not cursor.fetchall():
            return False
        cursor.execute(
            "INSERT INTO analytics.verified (conditions, seq, offsets, walks, verified_at, full_at)"
            " VALUES (%s, %s, %s, %s, %s, %s)",
            (
                conditions,
                state.seq,
                Json(dict(state.offsets)),
                Json({name: [walk.position, walk.rounds] for name, walk in state.walks.items()}),
                state.verified_at,
                state.full_at,
            ),
        )
        if former is None:
            cursor.execute(FORGET_PAGE_TOTALS)
        for statement in (*statements, EXTEND_PAGE_TOTALS):
            cursor.execute(statement)
    return True


def forget_verified(connection: PgConnection) -> None:
    """Forget what was verified: the next check compares everything."""
    with connection, connection.cursor() as cursor:
        cursor.execute("DELETE FROM analytics.verified")
        cursor.execute(FORGET_PAGE_TOTALS)
