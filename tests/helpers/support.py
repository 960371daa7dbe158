"""Helpers for tests of every level."""

import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

Value = TypeVar("Value")

REPOSITORY = Path(__file__).parents[2]
SHORT_LIVED = "-XX:TieredStopAtLevel=1"
"""The option of a Java server that lives for minutes: the optimising compiler would take most of its CPU time."""


def eventually(predicate: Callable[[], Value], seconds: float = 30, message: str = "", pause: float = 0.05) -> Value:
    """Poll `predicate` every `pause` seconds until it returns a true value, and return that value.

    An assertion error in the predicate counts as a false value.

    Raises:
        AssertionError: there was no true value within `seconds`; names `message` and the last value.
    """
    deadline = time.monotonic() + seconds
    while True:
        last: object
        try:
            value = predicate()
            if value:
                return value
            last = value
        except AssertionError as error:
            last = error
        if time.monotonic() > deadline:
            raise AssertionError(f"{message or 'the condition did not become true'} in {seconds} s; last: {last!r}")
        time.sleep(pause)


def free_port() -> int:
    """Find a port on the loopback interface that nothing listens on at present."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
