"""Responses on the wire, intact or damaged."""

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


def make_error(text: str, status: int = 200) -> Response:
    """Return an error response of the API, with the single key `error`."""
    return Response(json.dumps({"error": text}), status, media_type=_JSON)


def make_response(body: bytes) -> Response:
    """Return a JSON response with the body."""
    return Response(body, media_type=_JSON)


def make_fault_response(fault: Fault) -> Response | None:
    """Return the response for a fault that needs no rows, None for any other fault."""
    match fault:
        case Fault.RATE_LIMITED:
            return make_rate_limited({"Retry-After": str(RETRY_AFTER_SECONDS)})
        case Fault.RATE_LIMITED_DATE:
            until = datetime.now(UTC) + timedelta(seconds=RETRY_AFTER_SECONDS)
            return make_rate_limited({"Retry-After": format_datetime(until, usegmt=True)})
        case Fault.RATE_LIMITED_BARE:
            return make_rate_limited()
        case Fault.INTERNAL | Fault.UNAVAILABLE:
            return HTMLResponse("<h1>Something went wrong</h1>", int(fault))
        case Fault.HTML:
            return HTMLResponse("<!DOCTYPE html><html><body>We are down for maintenance.</body></html>")
        case Fault.ERROR:
            return make_error(_APOLOGY)
        case Fault.BOMB:
            return StreamingResponse(_generate_bomb(), headers={"Content-Encoding": "gzip", "Content-Type": _JSON})
    return None


def make_damaged_response(fault: Fault, body: bytes) -> Response:
    """Return a response that damages the transfer of the body, if the fault does."""
    match fault:
        case Fault.TRUNCATED:
            return _TruncatedResponse(body, declare_length=False)
        case Fault.LENGTH:
            return _TruncatedResponse(body, declare_length=True)
        case Fault.DRIP:
            return StreamingResponse(
                _send_slowly(body), headers={"Content-Length": str(len(body)), "Content-Type": _JSON}
            )
    return make_response(body)


def make_rate_limited(headers: dict[str, str] | None = None) -> Response:
    """Return the response to a request beyond a limit. The API itself sends no `Retry-After`."""
    return Response('{"error":"Too many requests"}', 429, headers, _JSON)


class _TruncatedResponse(Response):
    """Half the body, then a closed connection: within a chunked response, or before the declared length."""

    def __init__(self, body: bytes, declare_length: bool) -> None:
        super().__init__(body[: len(body) // 2], media_type=_JSON)
        del self.headers["Content-Length"]
        if declare_length:
            self.headers["Content-Length"] = str(len(body))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": self.body, "more_body": True})


async def _send_slowly(body: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(body), DRIP_BYTES):
        yield body[start : start + DRIP_BYTES]
        await asyncio.sleep(DRIP_SECONDS)


def _generate_bomb() -> Iterator[bytes]:
    gzip = zlib.compressobj(wbits=zlib.MAX_WBITS | 16)
    blank = b" " * 1024 * 1024
    for _ in range(_BOMB_MEGABYTES):
        yield gzip.compress(blank)
    yield gzip.flush()
