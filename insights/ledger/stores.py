"""How the check reaches the stores."""

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager

from psycopg2.extensions import cursor as PgCursor

from insights.clients import connections, kafka_admin
from insights.clients.sql import fetch_row
from insights.clients.stream_position import Watermarks
from insights.settings import StoreSettings

APPLICATION = "ledger"
"""The name of the check's connections."""


@contextmanager
def open_cursor(stores: StoreSettings) -> Iterator[PgCursor]:
    """Open a cursor on a connection of its own."""
    with (
        closing(connections.connect_postgres(stores.postgres, APPLICATION)) as connection,
        connection.cursor() as cursor,
    ):
        yield cursor


def may_write(cursor: PgCursor, tables: Sequence[str]) -> bool:
    """Whether this login may insert into and delete from all of these tables; the dashboard's only reads."""
    cursor.execute(
        "SELECT bool_and(has_table_privilege(name, 'INSERT') AND has_table_privilege(name, 'DELETE'))"
        " FROM unnest(%s) AS name",
        (list(tables),),
    )
    return bool(fetch_row(cursor)[0])


def read_watermarks(stores: StoreSettings) -> Watermarks:
    """The watermarks of the raw topic."""
    return kafka_admin.read_watermarks(kafka_admin.get_admin(stores.kafka), stores.kafka.raw_topic)
