"""A browser's part of Streamlit's protocol: opens a page, has it run again, keeps what a browser keeps."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.asyncio.client import connect

SILENT_SECONDS = 120
_FINISHED = (ForwardMsg.FINISHED_SUCCESSFULLY, ForwardMsg.FINISHED_FRAGMENT_RUN_SUCCESSFULLY)


class Run(NamedTuple):
    """What a run of the page's script cost its visitor."""

    seconds: float
    """From the request until the last message of the run was here."""
    received: int
    """Bytes."""
    figures: int
    """Charts and tables among the elements."""


class Visitor:
    """One tab on one page."""

    def __init__(self, socket: Any, page: str, began: float) -> None:
        self._socket, self._began = socket, began
        self._state = BackMsg().rerun_script
        self._state.page_name = page
        self._state.context_info.timezone = "UTC"
        self._kept: dict[str, set[str]] = {}
        self.fragments: dict[str, float] = {}
        """Seconds after which each part of the page looks again, by its id."""

    async def first(self) -> Run:
        """The page, from the moment that its address was entered."""
        return await self._run("", self._began)

    async def again(self, fragment: str = "") -> Run:
        """The whole page again, as after a choice of the visitor; or a part of it, as it does by itself."""
        return await self._run(fragment, time.perf_counter())

    async def _run(self, fragment: str, began: float) -> Run:
        request = BackMsg()
        request.rerun_script.CopyFrom(self._state)
        request.rerun_script.fragment_id = fragment
        request.rerun_script.is_auto_rerun = bool(fragment)
        request.rerun_script.cached_message_hashes.extend(set().union(*self._kept.values()))
        await self._socket.send(request.SerializeToString())
        self._kept = (self._kept if fragment else {}) | {fragment: set()}
        received = figures = 0
        async for data in self._socket:
            received += len(data)
            message = ForwardMsg.FromString(data)
            kind = message.WhichOneof("type")
            if kind == "script_finished" and message.script_finished in _FINISHED:
                return Run(time.perf_counter() - began, received, figures)
            if message.metadata.cacheable or kind == "ref_hash":
                self._kept[fragment].add(message.hash or message.ref_hash)
            figures += self._see(message, kind)
        raise RuntimeError("the dashboard closed the connection")

    def _see(self, message: ForwardMsg, kind: str | None) -> bool:
        """Take in a message; whether it is a figure.

        Raises:
            RuntimeError: the page shows an error, or that a store does not answer.
        """
        if kind == "navigation":
            self._state.page_script_hash = message.navigation.page_script_hash
        elif kind == "auto_rerun":
            self.fragments[message.auto_rerun.fragment_id] = message.auto_rerun.interval
        elif kind == "ref_hash":
            return True
        elif kind == "delta" and message.delta.WhichOneof("type") == "new_element":
            element = message.delta.new_element
            found = element.WhichOneof("type")
            if found == "exception":
                raise RuntimeError(f"the page shows {element.exception.type}: {element.exception.message}")
            if found == "alert" and "does not answer" in element.alert.body:
                raise RuntimeError(f"the page says: {element.alert.body}")
            return found in {"plotly_chart", "dataframe"}
        return False


@asynccontextmanager
async def visiting(port: int, page: str) -> AsyncIterator[Visitor]:
    """Enter the address of a page (`""` is the first one); leave it at the end."""
    began = time.perf_counter()
    async with connect(
        f"ws://127.0.0.1:{port}/_stcore/stream",
        subprotocols=["streamlit"],  # type: ignore[list-item]
        max_size=None,
        compression=None,
        open_timeout=SILENT_SECONDS,
        ping_timeout=SILENT_SECONDS,
    ) as socket:
        yield Visitor(socket, page, began)
