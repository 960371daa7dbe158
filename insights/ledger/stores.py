"""How the check reaches the stores."""

from collections.abc import Iterator
from contextlib import closing, contextmanager

from psycopg2.extensions import cursor as PgCursor

from insights.clients import connections, kafka_admin
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


def read_watermarks(stores: StoreSettings) -> Watermarks:
    """The watermarks of the raw topic."""
    return kafka_admin.read_watermarks(kafka_admin.get_admin(stores.kafka), stores.kafka.raw_topic)
