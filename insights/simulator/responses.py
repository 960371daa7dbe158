"""Answers on the wire, whole and broken."""

import asyncio
import json
import zlib
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

from starlette.responses import HTMLResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from insights.simulator.faults import Fault

RETRY_AFTER_SECONDS = 1
DRIP_BYTES = 64
DRIP_SECONDS = 0.05
_BOMB_MEGABYTES = 256
_JSON = "application/json; charset=utf-8"
_APOLOGY = "Uh oh, something has gone wrong. Please tweet us @randomapi about the issue. Thank you."


def error(text: str, status: int = 200) -> Response:
    """An answer as the API gives when it cannot: one `error` key."""
    return Response(json.dumps({"error": text}), status, media_type=_JSON)


def answer(body: bytes) -> Response:
    return Response(body, media_type=_JSON)


def refusal(fault: Fault) -> Response | None:
    """The answer of a fault that needs no rows; none where it does."""
    match fault:
        case Fault.RATE_LIMITED:
            return _limited({"Retry-After": str(RETRY_AFTER_SECONDS)})
        case Fault.RATE_LIMITED_DATE:
            until = datetime.now(UTC) + timedelta(seconds=RETRY_AFTER_SECONDS)
            return _limited({"Retry-After": format_datetime(until, usegmt=True)})
        case Fault.RATE_LIMITED_BARE:
            return _limited({})
        case Fault.INTERNAL | Fault.UNAVAILABLE:
            return HTMLResponse("<h1>Something went wrong</h1>", int(fault))
        case Fault.HTML:
            return HTMLResponse("<!DOCTYPE html><html><body>We are down for maintenance.</body></html>")
        case Fault.ERROR:
            return error(_APOLOGY)
        case Fault.BOMB:
            return StreamingResponse(_bomb(), headers={"Content-Encoding": "gzip", "Content-Type": _JSON})
    return None


def damaged(fault: Fault, body: bytes) -> Response:
    """A whole body on a connection that fails it."""
    match fault:
        case Fault.TRUNCATED:
            return _BrokenOff(body, declare_length=False)
        case Fault.LENGTH:
            return _BrokenOff(body, declare_length=True)
        case Fault.DRIP:
            return StreamingResponse(_drip(body), headers={"Content-Length": str(len(body)), "Content-Type": _JSON})
    return answer(body)


def _limited(headers: dict[str, str]) -> Response:
    return Response('{"error":"Too many requests"}', 429, headers, _JSON)


class _BrokenOff(Response):
    """Half a body, then a closed connection: within a chunked answer, or below the length that was declared."""

    def __init__(self, body: bytes, declare_length: bool) -> None:
        super().__init__(body[: len(body) // 2], media_type=_JSON)
        del self.headers["Content-Length"]
        if declare_length:
            self.headers["Content-Length"] = str(len(body))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": self.body, "more_body": True})


async def _drip(body: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(body), DRIP_BYTES):
        yield body[start : start + DRIP_BYTES]
        await asyncio.sleep(DRIP_SECONDS)


def _bomb() -> Iterator[bytes]:
    gzip = zlib.compressobj(wbits=zlib.MAX_WBITS | 16)
    blank = b" " * 1024 * 1024
    for _ in range(_BOMB_MEGABYTES):
        yield gzip.compress(blank)
    yield gzip.flush()
