"""Sleep that a notification, or a request to stop, ends at once."""

import os
import select
from typing import Any

from psycopg2.extensions import connection as PgConnection


class WakeUp:
    """A stop flag that signal handlers may set, and waits that watch it."""

    def __init__(self) -> None:
        self._read, self._write = os.pipe()
        os.set_blocking(self._write, False)
        self._stopped = False

    def stop(self, *_: object) -> None:
        """Ask for the end; usable as a signal handler."""
        self._stopped = True
        os.write(self._write, b"\0")

    @property
    def stopped(self) -> bool:
        return self._stopped

    def wait(self, seconds: float, connection: PgConnection | None = None) -> None:
        """Return after `seconds`, at a stop, or when `connection` has a notification or has ended."""
        watched: list[Any] = [self._read]
        if connection is not None:
            if connection.notifies:
                connection.notifies.clear()
                return
            watched.append(connection)
        ready, _, _ = select.select(watched, [], [], seconds)
        if connection is not None and connection in ready:
            connection.poll()
            connection.notifies.clear()
