"""One bounded GET: bytes, decompressed bytes and seconds all have an end, whatever the other side does."""

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

_CHUNK = 64 * 1024
_GZIP = zlib.MAX_WBITS | 16


class _Watch:
    """Ends a conversation at a given time: a read timeout alone starts anew with every byte that drips in."""

    def __init__(self, seconds: float) -> None:
        self.fired = False
        self._socket: socket.socket | None = None
        self._timer = threading.Timer(seconds, self._end)
        self._timer.daemon = True

    def follow(self, connected: Any) -> None:
        self._socket = connected
        if self.fired:
            self._end()

    def _end(self) -> None:
        self.fired = True
        if self._socket is not None:
            with suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)

    @contextmanager
    def running(self) -> Iterator[None]:
        token = _WATCH.set(self)
        self._timer.start()
        try:
            yield
        finally:
            self._timer.cancel()
            _WATCH.reset(token)


_WATCH: ContextVar[_Watch] = ContextVar("watch")


class _Connection(HTTPConnection):
    def getresponse(self) -> Any:
        _WATCH.get().follow(self.sock)
        return super().getresponse()


class _SecureConnection(HTTPSConnection):
    def getresponse(self) -> Any:
        _WATCH.get().follow(self.sock)
        return super().getresponse()


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = _SecureConnection


_POOLS = {"http": _Pool, "https": _SecurePool}


class WatchedAdapter(HTTPAdapter):  # type: ignore[misc]
    """Connections that the running request's deadline can end."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
        manager = super().proxy_manager_for(*args, **kwargs)
        manager.pool_classes_by_scheme = _POOLS
        return manager


@dataclass(frozen=True, slots=True)
class RequestLimits:
    """Seconds for the connection and each wait, seconds for everything, bytes after decompression."""

    timeout: float
    remaining: float
    max_bytes: int


def fetch_body(
    session: requests.Session, url: str, params: Mapping[str, Any], limits: RequestLimits, now: Callable[[], datetime]
) -> bytes:
    """The decompressed body of a 200.

    Raises:
        SourceError: any other answer, or none within the limits.
    """
    watch = _Watch(limits.remaining)
    wait = max(0.001, min(limits.timeout, limits.remaining))
    try:
        with (
            watch.running(),
            session.get(url, params=params, timeout=wait, stream=True, allow_redirects=False) as response,
        ):
            _check_status(response, now)
            body = b"".join(_body(response, limits.max_bytes))
    except (requests.RequestException, HTTPError, zlib.error, OSError) as error:
        if watch.fired:
            raise _late(limits) from None
        raise _classified(error, limits) from None
    if watch.fired:
        raise _late(limits)
    return body


def _late(limits: RequestLimits) -> SourceError:
    return SourceError(
        FetchFailure.DEADLINE, f"the answer was not complete after the {limits.remaining:.1f} s that were left"
    )


def _classified(error: Exception, limits: RequestLimits) -> SourceError:
    if isinstance(error, requests.exceptions.SSLError):
        return SourceError(FetchFailure.TLS, f"no trusted connection: {error}")
    if isinstance(error, requests.Timeout | ReadTimeoutError | TimeoutError):
        return SourceError(FetchFailure.TIMEOUT, f"no data for {limits.timeout:g} s")
    if isinstance(error, requests.ConnectionError):
        return SourceError(FetchFailure.CONNECTION, f"no connection ({type(error).__name__})")
    return SourceError(FetchFailure.TRUNCATED, f"the answer broke off ({type(error).__name__})")


def _check_status(response: requests.Response, now: Callable[[], datetime]) -> None:
    status = response.status_code
    if status == 200:
        return
    detail = f"HTTP {status}"
    wait = _retry_after(response.headers, now)
    if status == 429:
        raise SourceError(FetchFailure.RATE_LIMITED, detail, wait)
    if status == 408:
        raise SourceError(FetchFailure.TIMEOUT, detail, wait)
    if status >= 500:
        raise SourceError(FetchFailure.SERVER_ERROR, detail, wait)
    if 300 <= status < 400 and "Location" in response.headers:
        detail += f"; the source has moved to {response.headers['Location'][:200]!r}: set INSIGHTS_SOURCE_URL to it"
    raise SourceError(FetchFailure.REFUSED, detail)


def _retry_after(headers: Mapping[str, str], now: Callable[[], datetime]) -> float | None:
    """Seconds to wait, from either form of RFC 9110 section 10.2.3; a date is read by the server's own clock."""
    text = headers.get("Retry-After", "").strip()
    if re.fullmatch("[0-9]{1,9}", text):
        return float(text)
    until = _instant(text)
    if until is None:
        return None
    return max(0.0, (until - (_instant(headers.get("Date", "")) or now())).total_seconds())


def _instant(text: str) -> datetime | None:
    try:
        instant = parsedate_to_datetime(text)
    except ValueError:
        return None
    return instant if instant.tzinfo else instant.replace(tzinfo=UTC)


def _body(response: requests.Response, max_bytes: int) -> Iterator[bytes]:
    encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding not in ("identity", "gzip"):
        raise SourceError(FetchFailure.ENVELOPE, f"the answer is encoded as {encoding[:40]!r}, which was not asked for")
    unzip = zlib.decompressobj(_GZIP) if encoding == "gzip" else None
    total = 0
    while chunk := response.raw.read1(_CHUNK, decode_content=False):
        if unzip is not None:
            chunk = unzip.decompress(chunk, max_bytes + 1 - total)
        total += len(chunk)
        if total > max_bytes:
            raise SourceError(FetchFailure.TOO_LARGE, f"the answer is larger than {max_bytes} bytes")
        yield chunk
    if unzip is not None and not unzip.eof:
        raise SourceError(FetchFailure.TRUNCATED, f"the answer broke off after {total} bytes")
