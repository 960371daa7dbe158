"""What the entry points of the platform's processes share: the log format, and exit codes after errors."""

import logging
import signal
import sys
from collections.abc import Callable, Mapping
from contextlib import closing
from typing import Protocol

from insights import probes
from insights.errors import UserError, print_error
from insights.wakeup import WakeUp

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


class Loop(Protocol):
    """What a process does until it is stopped."""

    def run(self) -> None:
        """Return when it is stopped."""


class LoopSettings(Protocol):
    """Where a loop serves its probes."""

    http_host: str
    http_port: int


def run_loop(
    build: Callable[[WakeUp], Loop], settings: LoopSettings, port_variable: str, metrics: probes.LoopMetrics
) -> None:
    """Run a loop and serve its probes until SIGTERM or SIGINT; `port_variable` names the setting of their port.

    Raises:
        UserError: the process cannot listen on the port.
    """
    wake = WakeUp()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, wake.stop)
    loop = build(wake)
    server = probes.ProbeServer(
        settings.http_host,
        settings.http_port,
        port_variable,
        metrics.registry,
        healthz=metrics.explain_liveness_failure,
        readyz=metrics.explain_readiness_failure,
    )
    with closing(server):
        loop.run()


def exit_on_sigterm() -> None:
    """Exit with code 143 on SIGTERM, which the kernel ignores for the first process of a container by default."""
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
