"""The simulator on a real loopback socket, in the process of the test."""

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from starlette.applications import Starlette

from insights.settings import SourceSettings
from insights.simulator import Fault
from insights.simulator.server import bind, make_server
from tests.helpers.support import eventually


@contextmanager
def serving(app: Starlette) -> Iterator[str]:
    """Serve the app and yield its address, without a path."""
    listener = bind("127.0.0.1", 0)
    server = make_server(app)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    eventually(lambda: server.started, 10, "the simulator did not start")
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.force_exit = server.should_exit = True
        thread.join(10)
        listener.close()


class Script:
    """Draws the given faults in order, then `forever`, and counts the requests."""

    def __init__(self, faults: Iterable[Fault | None] = (), forever: Fault | None = None) -> None:
        self.requests = 0
        self._faults = list(faults)
        self._forever = forever

    def __call__(self) -> Fault | None:
        self.requests += 1
        return self._faults.pop(0) if self._faults else self._forever


class Time:
    """A clock that advances only by sleeping."""

    def __init__(self) -> None:
        self.slept: list[float] = []

    def clock(self) -> float:
        return sum(self.slept)

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)


def settings(address: str, version: str = "1.4", **changes: Any) -> SourceSettings:
    """Return settings for that server and version."""
    return SourceSettings.model_validate({"url": f"{address}/api/{version}/", **changes})
