"""The quota of the Random User API: a number of rows per client address and period, then 429 until the period ends."""

import threading
import time
from collections import Counter
from collections.abc import Callable

from insights.errors import UserError


class Quota:
    """Counts the rows of each address. The API itself allows 20,000 in 300 seconds.

    A request is answered in full while fewer than `rows` were served, so the last one may exceed the quota. Periods
    follow one another from the start of the server, whenever an address sends its first request.
    """

    def __init__(self, rows: int, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._rows, self._seconds, self._clock = rows, seconds, clock
        self._started = clock()
        self._period = 0
        self._served: Counter[str] = Counter()
        self._lock = threading.Lock()

    def take(self, address: str, rows: int) -> bool:
        """Count the rows of a request, unless it has to be refused."""
        with self._lock:
            period = int((self._clock() - self._started) / self._seconds)
            if period != self._period:
                self._period = period
                self._served.clear()
            if self._served[address] >= self._rows:
                return False
            self._served[address] += rows
            return True


def parse_quota(text: str) -> Quota:
    """Parse a quota such as `20000/300`: rows and seconds.

    Raises:
        UserError: a part is not a positive number.
    """
    rows, _, seconds = text.partition("/")
    try:
        limit, period = int(rows), float(seconds)
    except ValueError:
        limit, period = 0, 0.0
    if not (limit > 0 and 0 < period < float("inf")):
        raise UserError(f"The quota {text!r} is invalid: use rows and seconds, as in 20000/300.")
    return Quota(limit, period)
