"""What the entry points of the platform's processes share: the log format, and exit codes after errors."""

import logging
import signal
import sys
from collections.abc import Callable, Mapping

from insights.errors import UserError, print_error

LOG_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


def run(work: Callable[[], object], *, quiet: Mapping[str, int] | None = None) -> int:
    """Set up logging, do the work, and return the process's exit code.

    `quiet` maps names of loggers to the lowest level that they log. Returns 0, or 1 after a `UserError`, which is
    printed to standard error in one line; other exceptions propagate.
    """
    logging.basicConfig(level=logging.INFO, format=LOG_FORMAT)
    for name, level in (quiet or {}).items():
        logging.getLogger(name).setLevel(level)
    try:
        work()
    except UserError as error:
        print_error(error)
        return 1
    return 0


def exit_on_sigterm() -> None:
    """Exit with code 143 on SIGTERM, which the kernel ignores for the first process of a container by default."""
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
