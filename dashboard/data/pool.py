"""A pool of PostgreSQL connections: opening one takes longer than most queries."""

from collections import deque
from collections.abc import Callable
from typing import TypeVar

import psycopg2
from psycopg2.extensions import connection as PgConnection
from psycopg2.extensions import cursor as PgCursor

T = TypeVar("T")

IDLE = 4
"""Connections that are kept open; more are opened only while more queries run at the same time."""


class ConnectionPool:
    """Connections opened by `connect`, each used for one query at a time."""

    def __init__(self, connect: Callable[[], PgConnection]) -> None:
        self._connect = connect
        self._idle: deque[PgConnection] = deque(maxlen=IDLE)

    def ask(self, query: Callable[[PgCursor], T]) -> T:
        """Return `query(cursor)`, retried on a new connection if the server has closed the pooled one.

        Raises:
            Exception: whatever `connect` or `query` raises.
        """
        try:
            connection, pooled = self._idle.pop(), True
        except IndexError:
            connection, pooled = self._connect(), False
        try:
            with connection.cursor() as cursor:
                answer = query(cursor)
        except psycopg2.Error:
            lost = connection.closed
            connection.close()
            if pooled and lost:
                self._idle.clear()
                return self.ask(query)
            raise
        self._idle.append(connection)
        return answer
