"""The results of past checks, kept in PostgreSQL for monitoring."""

from collections.abc import Mapping
from contextlib import closing
from datetime import datetime, timedelta
from typing import NamedTuple

from psycopg2.extensions import cursor as PgCursor
from psycopg2.extras import Json

from insights.clients import connections
from insights.ledger.hops import Ledger, LedgerScope, LedgerState
from insights.ledger.stores import APPLICATION, may_write
from insights.settings import PostgresSettings

KEPT = timedelta(days=30)


class RecordedCheck(NamedTuple):
    """The result of a check."""

    checked_at: datetime
    state: LedgerState
    seconds: float
    """How long the check took."""
    open_records: Mapping[str, int]
    """By hop that does not hold: the records by which its sides differ, those in flight included."""
    full_at: datetime | None
    """When everything was last compared at once; None if that is not recorded."""


def record_check(postgres: PostgresSettings, ledger: Ledger) -> bool:
    """Record the result, and delete those older than `KEPT`. Returns false if this login may not do so."""
    hops = {
        hop.name: {"state": hop.state.value, "left": hop.left, "right": hop.right, "pending": hop.pending}
        for hop in ledger.hops
    }
    with (
        closing(connections.connect_postgres(postgres, APPLICATION)) as connection,
        connection,
        connection.cursor() as cursor,
    ):
        if not may_write(cursor, ("analytics.checks",)):
            return False
        cursor.execute("DELETE FROM analytics.checks WHERE checked_at < now() - %s", (KEPT,))
        cursor.execute(
            "INSERT INTO analytics.checks (checked_at, scope, state, seconds, hops) VALUES (%s, %s, %s, %s, %s)"
            " ON CONFLICT DO NOTHING",
            (ledger.checked_at, ledger.scope.value, ledger.state.value, ledger.seconds, Json(hops)),
        )
    return True


def read_last_check(cursor: PgCursor) -> RecordedCheck | None:
    """The newest result, if any."""
    cursor.execute(
        "SELECT checked_at, state, seconds, hops,"
        " (SELECT max(checked_at) FROM analytics.checks WHERE scope = %s)"
        " FROM analytics.checks ORDER BY checked_at DESC LIMIT 1",
        (LedgerScope.FULL.value,),
    )
    row = cursor.fetchone()
    if row is None:
        return None
    checked_at, state, seconds, hops, full_at = row
    open_records = {
        name: abs(hop["left"] - hop["right"]) for name, hop in hops.items() if hop["state"] != LedgerState.CLOSED
    }
    return RecordedCheck(checked_at, LedgerState(state), seconds, open_records, full_at)
