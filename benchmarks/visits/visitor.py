"""The browser's side of Streamlit's protocol: open a page, rerun it, and cache messages as a browser does."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.asyncio.client import connect

TIMEOUT_SECONDS = 120
_FINISHED = (ForwardMsg.FINISHED_SUCCESSFULLY, ForwardMsg.FINISHED_FRAGMENT_RUN_SUCCESSFULLY)


class Run(NamedTuple):
    """A run of the page's script as seen by its visitor."""

    seconds: float
    """From the request to the last message of the run."""
    received: int
    """Bytes that were received."""
    figures: int
    """Charts and tables among the page's elements."""


class Visitor:
    """A browser tab on one page."""

    def __init__(self, socket: Any, page: str, started: float) -> None:
        self._socket, self._started = socket, started
        self._state = BackMsg().rerun_script
        self._state.page_name = page
        self._state.context_info.timezone = "UTC"
        self._cached: dict[str, set[str]] = {}
        self.fragments: dict[str, float] = {}
        """The rerun interval in seconds of each fragment of the page, by its id."""

    async def render(self) -> Run:
        """Render the page for the first time; counted from when the connection was opened."""
        return await self._run("", self._started)

    async def rerun(self, fragment: str = "") -> Run:
        """Rerun the whole page, as after an input of the visitor, or a fragment, as after its interval."""
        return await self._run(fragment, time.perf_counter())

    async def _run(self, fragment: str, started: float) -> Run:
        request = BackMsg()
        request.rerun_script.CopyFrom(self._state)
        request.rerun_script.fragment_id = fragment
        request.rerun_script.is_auto_rerun = bool(fragment)
        request.rerun_script.cached_message_hashes.extend(set().union(*self._cached.values()))
        await self._socket.send(request.SerializeToString())
        self._cached = (self._cached if fragment else {}) | {fragment: set()}
        received = figures = 0
        async for data in self._socket:
            received += len(data)
            message = ForwardMsg.FromString(data)
            kind = message.WhichOneof("type")
            if kind == "script_finished" and message.script_finished in _FINISHED:
                return Run(time.perf_counter() - started, received, figures)
            if message.metadata.cacheable or kind == "ref_hash":
                self._cached[fragment].add(message.hash or message.ref_hash)
            figures += self._handle(message, kind)
        raise RuntimeError("the dashboard closed the connection")

    def _handle(self, message: ForwardMsg, kind: str | None) -> bool:
        """Handle a message and return whether it is a figure.

        Raises:
            RuntimeError: the page shows an error, or reports that a store does not answer.
        """
        if kind == "navigation":
            self._state.page_script_hash = message.navigation.page_script_hash
        elif kind == "auto_rerun":
            self.fragments[message.auto_rerun.fragment_id] = message.auto_rerun.interval
        elif kind == "ref_hash":
            return True
        elif kind == "delta" and message.delta.WhichOneof("type") == "new_element":
            element = message.delta.new_element
            element_type = element.WhichOneof("type")
            if element_type == "exception":
                raise RuntimeError(f"the page shows {element.exception.type}: {element.exception.message}")
            if element_type == "alert" and "does not answer" in element.alert.body:
                raise RuntimeError(f"the page says: {element.alert.body}")
            return element_type in {"plotly_chart", "dataframe"}
        return False


@asynccontextmanager
async def open_page(port: int, page: str) -> AsyncIterator[Visitor]:
    """A visitor of a page (`""` is the first page) who leaves it at the end of the block."""
    started = time.perf_counter()
    async with connect(
        f"ws://127.0.0.1:{port}/_stcore/stream",
        subprotocols=["streamlit"],  # type: ignore[list-item]
        max_size=None,
        compression=None,
        open_timeout=TIMEOUT_SECONDS,
        ping_timeout=TIMEOUT_SECONDS,
    ) as socket:
        yield Visitor(socket, page, started)
