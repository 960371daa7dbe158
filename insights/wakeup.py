"""Waits that end at once on a database notification or a request to stop."""

import os
import select
from typing import Any

from psycopg2.extensions import connection as PgConnection


class WakeUp:
    """A stop flag that a signal handler may set, and a wait that the flag interrupts."""

    def __init__(self) -> None:
        self._read_end, self._write_end = os.pipe()
        os.set_blocking(self._write_end, False)
        self._stopped = False

    def stop(self, *_: object) -> None:
        """Request a stop; usable as a signal handler."""
        self._stopped = True
        os.write(self._write_end, b"\0")

    @property
    def stopped(self) -> bool:
        """Whether a stop was requested."""
        return self._stopped

    def wait(self, seconds: float, connection: PgConnection | None = None) -> None:
        """Return after `seconds`, on a stop, or when `connection` receives a notification or ends."""
        sources: list[Any] = [self._read_end]
        if connection is not None:
            if connection.notifies:
                connection.notifies.clear()
                return
            sources.append(connection)
        ready, _, _ = select.select(sources, [], [], seconds)
        if connection is not None and connection in ready:
            connection.poll()
            connection.notifies.clear()
