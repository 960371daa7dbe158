"""PostgreSQL's connections, kept for the next question: to open one takes longer than most answers."""

from collections import deque
from collections.abc import Callable
from typing import Any, TypeVar

import psycopg2

T = TypeVar("T")

IDLE = 4
"""Connections that are kept; more are open only while as many visitors wait for an answer."""


class ConnectionPool:
    """Connections of `opened`, each for one question at a time."""

    def __init__(self, opened: Callable[[], Any]) -> None:
        self._opened = opened
        self._idle: deque[Any] = deque(maxlen=IDLE)

    def ask(self, query: Callable[[Any], T]) -> T:
        """The answer of `query(cursor)`, asked again on a new connection if the server had closed the kept one.

        Raises:
            Exception: what `opened` or `query` raises.
        """
        try:
            connection, kept = self._idle.pop(), True
        except IndexError:
            connection, kept = self._opened(), False
        try:
            with connection.cursor() as cursor:
                answer = query(cursor)
        except psycopg2.Error:
            lost = connection.closed
            connection.close()
            if kept and lost:
                self._idle.clear()
                return self.ask(query)
            raise
        self._idle.append(connection)
        return answer
