"""A bounded GET: limits on the decompressed size and on the duration hold whatever the server does."""

import logging
import re
import socket
import threading
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError, ReadTimeoutError

from insights.source.errors import FetchFailure, SourceError
from insights.text import mask_urls

_CHUNK = 64 * 1024
_GZIP = zlib.MAX_WBITS | 16


class _Deadline:
    """Shuts the socket down after a given time. A read timeout alone restarts with every byte received."""

    def __init__(self, seconds: float) -> None:
        self.expired = False
        self._socket: socket.socket | None = None
        self._timer = threading.Timer(seconds, self._shut_down)
        self._timer.daemon = True

    def watch(self, connection: Any) -> None:
        self._socket = connection
        if self.expired:
            self._shut_down()

    def _shut_down(self) -> None:
        self.expired = True
        if self._socket is not None:
            with suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)

    @contextmanager
    def enforce(self) -> Iterator[None]:
        token = _DEADLINE.set(self)
        self._timer.start()
        try:
            yield
        finally:
            self._timer.cancel()
            _DEADLINE.reset(token)


_DEADLINE: ContextVar[_Deadline] = ContextVar("deadline")


def _conceal_request(record: logging.LogRecord) -> bool:
    """Mask the URL of a request of this module in the log, and drop warnings, which quote what the server sent."""
    if _DEADLINE.get(None) is None:
        return True
    record.msg, record.args = mask_urls(record.getMessage()), None
    return record.levelno < logging.WARNING


for _name in ("connection", "connectionpool", "poolmanager", "response", "util.retry"):
    logging.getLogger(f"urllib3.{_name}").addFilter(_conceal_request)


class _Connection(HTTPConnection):
    def getresponse(self) -> Any:
        _DEADLINE.get().watch(self.sock)
        return super().getresponse()


class _SecureConnection(HTTPSConnection):
    def getresponse(self) -> Any:
        _DEADLINE.get().watch(self.sock)
        return super().getresponse()


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = _SecureConnection


_POOLS = {"http": _Pool, "https": _SecurePool}


class DeadlineAdapter(HTTPAdapter):  # type: ignore[misc]
    """An adapter whose connections are shut down when the deadline of the running request expires."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
        manager = super().proxy_manager_for(*args, **kwargs)
        manager.pool_classes_by_scheme = _POOLS
        return manager


@dataclass(frozen=True, slots=True)
class RequestLimits:
    """`timeout` limits the connection and each read, `remaining` the whole request, both in seconds.

    `max_bytes` limits the decompressed body.
    """

    timeout: float
    remaining: float
    max_bytes: int


def fetch_body(
    session: requests.Session, url: str, params: Mapping[str, Any], limits: RequestLimits, now: Callable[[], datetime]
) -> bytes:
    """Return the decompressed body of a response with status 200.

    Raises:
        SourceError: the status is not 200, or the response is not complete within the limits.
    """
    deadline = _Deadline(limits.remaining)
    timeout = max(0.001, min(limits.timeout, limits.remaining))
    try:
        with (
            deadline.enforce(),
            session.get(url, params=params, timeout=timeout, stream=True, allow_redirects=False) as response,
        ):
            _check_status(response, now)
            body = b"".join(_read_body(response, limits.max_bytes))
    except (requests.RequestException, HTTPError, zlib.error, OSError) as error:
        if deadline.expired:
            raise _make_deadline_error(limits) from None
        raise _classify_error(error, limits) from None
    if deadline.expired:
        raise _make_deadline_error(limits)
    return body


def _make_deadline_error(limits: RequestLimits) -> SourceError:
    return SourceError(
        FetchFailure.DEADLINE, f"the response was not complete within the remaining {limits.remaining:.1f} s"
    )


def _classify_error(error: Exception, limits: RequestLimits) -> SourceError:
    if isinstance(error, requests.exceptions.SSLError):
        return SourceError(FetchFailure.TLS, f"the TLS connection is not trusted: {error}")
    if isinstance(error, requests.Timeout | ReadTimeoutError | TimeoutError):
        return SourceError(FetchFailure.TIMEOUT, f"no data received for {limits.timeout:g} s")
    if isinstance(error, requests.ConnectionError):
        return SourceError(FetchFailure.CONNECTION, f"the connection failed ({type(error).__name__})")
    return SourceError(FetchFailure.TRUNCATED, f"the response is incomplete ({type(error).__name__})")


def _check_status(response: requests.Response, now: Callable[[], datetime]) -> None:
    status = response.status_code
    if status == 200:
        return
    detail = f"HTTP {status}"
    wait = _parse_retry_after(response.headers, now)
    if status == 429:
        raise SourceError(FetchFailure.RATE_LIMITED, detail, wait)
    if status == 408:
        raise SourceError(FetchFailure.TIMEOUT, detail, wait)
    if status >= 500:
        raise SourceError(FetchFailure.SERVER_ERROR, detail, wait)
    if 300 <= status < 400 and "Location" in response.headers:
        detail += f"; the source has moved to {response.headers['Location'][:200]!r}: set INSIGHTS_SOURCE_URL to it"
    raise SourceError(FetchFailure.REFUSED, detail)


def _parse_retry_after(headers: Mapping[str, str], now: Callable[[], datetime]) -> float | None:
    """Return the seconds to wait, from either form in RFC 9110, section 10.2.3; dates count from `Date`."""
    text = headers.get("Retry-After", "").strip()
    if re.fullmatch("[0-9]{1,9}", text):
        return float(text)
    until = _parse_date(text)
    if until is None:
        return None
    return max(0.0, (until - (_parse_date(headers.get("Date", "")) or now())).total_seconds())


def _parse_date(text: str) -> datetime | None:
    try:
        instant = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    return instant if instant.tzinfo else instant.replace(tzinfo=UTC)


def _read_body(response: requests.Response, max_bytes: int) -> Iterator[bytes]:
    encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding not in ("identity", "gzip"):
        raise SourceError(
            FetchFailure.ENVELOPE, f"the response has the content encoding {encoding[:40]!r}, which was not requested"
        )
    decompressor = zlib.decompressobj(_GZIP) if encoding == "gzip" else None
    total = 0
    while chunk := response.raw.read1(_CHUNK, decode_content=False):
        if decompressor is not None:
            chunk = decompressor.decompress(chunk, max_bytes + 1 - total)
        total += len(chunk)
        if total > max_bytes:
            raise SourceError(FetchFailure.TOO_LARGE, f"the response is larger than {max_bytes} bytes")
        yield chunk
    if decompressor is not None and not decompressor.eof:
        raise SourceError(FetchFailure.TRUNCATED, f"the response is incomplete after {total} bytes")
