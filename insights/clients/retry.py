"""Wait for a store that does not answer yet."""

import logging
import time
from collections.abc import Callable
from typing import TypeVar

from insights.errors import NotReadyError

T = TypeVar("T")

_log = logging.getLogger(__name__)
_PAUSE_SECONDS = 1.0


def retry_until_ready(store: str, work: Callable[[], T], deadline: float) -> T:
    """Call `work` until the store is ready, and return its result; `deadline` is a time of `time.monotonic`.

    Logs each new cause of waiting, and when the store is ready.

    Raises:
        UserError: raised by `work`; a `NotReadyError` only after the deadline.
    """
    logged_cause = ""
    while True:
        try:
            result = work()
        except NotReadyError as error:
            if time.monotonic() >= deadline:
                raise
            if str(error) != logged_cause:
                logged_cause = str(error)
                _log.info("waiting for %s: %s", store, logged_cause)
            time.sleep(max(0.0, min(_PAUSE_SECONDS, deadline - time.monotonic())))
        else:
            if logged_cause:
                _log.info("%s is ready", store)
            return result
