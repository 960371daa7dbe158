"""What tests of every level share."""

import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

Value = TypeVar("Value")

REPOSITORY = Path(__file__).parents[2]


def eventually(predicate: Callable[[], Value], seconds: float = 30, message: str = "", pause: float = 0.05) -> Value:
    """Poll every `pause` seconds until `predicate` returns something true and return that; fail with `message` and the
    last value after `seconds`. An assertion error inside the predicate counts as not yet."""
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
    """A loopback port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
