"""The bounded GET against servers that send exact bytes."""

import gzip
import socket
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import pytest

from insights.source import FetchedPage, FetchFailure, SourceClient, SourceError
from tests.helpers.simulator_server import Time, settings
from tests.helpers.support import free_port

NOW = datetime(2026, 1, 1, tzinfo=UTC)
BODY = b'{"results":[{"a":1}],"info":{"seed":"s","results":1,"page":1,"version":"1.4"}}'
Reply = bytes | Callable[[socket.socket], None]


@contextmanager
def replying(*replies: Reply) -> Iterator[tuple[str, list[bytes]]]:
    """Yield the address of a server that sends each connection the next reply, and the requests that it received."""
    listener = socket.create_server(("127.0.0.1", 0))
    requests: list[bytes] = []

    def serve() -> None:
        for reply in replies:
            try:
                connection, _ = listener.accept()
            except OSError:  # The test has ended without another connection.
                return
            with connection:
                requests.append(connection.recv(65536))
                if callable(reply):
                    reply(connection)
                else:
                    connection.sendall(reply)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", requests
    finally:
        listener.close()


def response(body: bytes = BODY, status: str = "200 OK", **headers: str) -> bytes:
    lines = {"Content-Length": str(len(body)), "Connection": "close"} | {
        name.replace("_", "-"): value for name, value in headers.items()
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items() if value)
    return f"HTTP/1.1 {status}\r\n{head}\r\n".encode() + body


def fetch(address: str, time: Time | None = None, **changes: Any) -> FetchedPage:
    clocks: dict[str, Any] = {"clock": time.clock, "sleep": time.sleep} if time else {}
    with SourceClient(settings(address, **changes), now=lambda: NOW, **clocks) as client:
        return client.fetch_page("s", 1, 1)


def fails(reply: Reply, **changes: Any) -> SourceError:
    with replying(reply) as (address, _), pytest.raises(SourceError) as caught:
        fetch(address, max_attempts=1, **changes)
    return caught.value


def wait_for_the_client_to_leave(connection: socket.socket) -> None:
    while connection.recv(65536):
        pass


def drip(first: bytes) -> Callable[[socket.socket], None]:
    def send(connection: socket.socket) -> None:
        connection.settimeout(0.05)
        connection.sendall(first)
        for _ in range(400):
            try:
                if not connection.recv(1):
                    return
            except TimeoutError:
                pass
            except OSError:
                return
            try:
                connection.sendall(b"X")
            except OSError:
                return

    return send


def test_a_plain_response_is_a_page() -> None:
    with replying(response()) as (address, requests):
        page = fetch(address)
    assert (page.records, page.body_bytes) == ([b'{"a":1}'], len(BODY))
    assert requests[0].startswith(b"GET /api/1.4/?format=json&seed=s&page=1&results=1 HTTP/1.1\r\n")
    assert b"User-Agent: user-insights" in requests[0]


def test_a_response_in_gzip_is_the_same_page() -> None:
    with replying(response(), response(gzip.compress(BODY), Content_Encoding="gzip")) as (address, _):
        assert fetch(address) == fetch(address)


def test_a_response_without_a_length_ends_with_the_connection() -> None:
    with replying(response(Content_Length="")) as (address, _):
        assert fetch(address).records == [b'{"a":1}']


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (b"", FetchFailure.CONNECTION),
        (b"not http at all\r\n\r\n", FetchFailure.CONNECTION),
        (response(Content_Length="1000"), FetchFailure.TRUNCATED),
        (response(Content_Length=str(len(BODY) - 5)), FetchFailure.NOT_JSON),
        (response(gzip.compress(BODY)[:-12], Content_Encoding="gzip"), FetchFailure.TRUNCATED),
        (response(b"no gzip", Content_Encoding="gzip"), FetchFailure.TRUNCATED),
        (response(b'4\r\n{"re', Content_Length="", Transfer_Encoding="chunked"), FetchFailure.TRUNCATED),
        (response(b"zz\r\n", Content_Length="", Transfer_Encoding="chunked"), FetchFailure.TRUNCATED),
        (response(Content_Encoding="br"), FetchFailure.ENVELOPE),
        (response(Content_Encoding="gzip, gzip"), FetchFailure.ENVELOPE),
        (response(status="401 Unauthorized"), FetchFailure.REFUSED),
        (response(status="408 Request Timeout"), FetchFailure.TIMEOUT),
        (response(status="503 Service Unavailable"), FetchFailure.SERVER_ERROR),
        (response(status="204 No Content"), FetchFailure.REFUSED),
    ],
)
def test_a_broken_response_has_its_reason(reply: bytes, reason: FetchFailure) -> None:
    assert fails(reply).reason is reason


def test_a_redirect_is_reported_and_not_followed() -> None:
    error = fails(response(status="301 Moved Permanently", Location="https://elsewhere.example/api/"))
    assert error.reason is FetchFailure.REFUSED
    assert "'https://elsewhere.example/api/': set INSIGHTS_SOURCE_URL to it" in error.detail


def test_a_failed_connection_is_retried() -> None:
    time = Time()
    with pytest.raises(SourceError) as caught:
        fetch(f"http://127.0.0.1:{free_port()}", time, max_attempts=3)
    assert (caught.value.reason, len(time.slept)) == (FetchFailure.CONNECTION, 2)


def test_a_server_without_a_trusted_certificate_is_not_retried() -> None:
    time = Time()
    with (
        replying(b"HTTP/1.1 200 OK\r\n\r\n") as (address, _),
        pytest.raises(SourceError) as caught,
    ):
        fetch(address.replace("http:", "https:"), time)
    assert (caught.value.reason, time.slept) == (FetchFailure.TLS, [])


def test_a_silent_server_times_out_and_is_retried() -> None:
    with replying(wait_for_the_client_to_leave, response()) as (address, requests):
        page = fetch(address, timeout_seconds=0.2)
    assert (len(page.records), len(requests)) == (1, 2)


@pytest.mark.parametrize("first", [b"", b"HTTP/1.1 200 OK\r\nX-Slow: ", response(Content_Length="100000")[:-20]])
def test_no_drip_outlasts_the_deadline_wherever_it_begins(first: bytes) -> None:
    assert fails(drip(first), timeout_seconds=30, deadline_seconds=0.3).reason is FetchFailure.DEADLINE


def test_a_response_cut_off_by_the_deadline_is_not_considered_complete() -> None:
    unending = response(Content_Length="")
    assert fails(drip(unending), timeout_seconds=30, deadline_seconds=0.3).reason is FetchFailure.DEADLINE


def test_gzip_beyond_the_limit_is_not_decompressed() -> None:
    bomb = response(gzip.compress(b" " * 50_000_000), Content_Encoding="gzip")
    tracemalloc.start()
    try:
        assert fails(bomb, max_bytes=1000).reason is FetchFailure.TOO_LARGE
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry_After": "7"}, 7),
        ({"Retry_After": "0"}, None),
        ({"Retry_After": "Thu, 01 Jan 2026 00:01:30 GMT"}, 90),
        ({"Retry_After": "Thu, 01 Jan 2026 00:01:30 GMT", "Date": "Thu, 01 Jan 2026 00:01:00 GMT"}, 30),
        ({"Retry_After": "Thursday, 01-Jan-26 00:01:30 GMT"}, 90),
        ({"Retry_After": "Wed, 31 Dec 2025 00:00:00 GMT"}, None),
        ({"Retry_After": "soon"}, None),
        ({"Retry_After": "-5"}, None),
        ({"Retry_After": "1.5"}, None),
        ({"Retry_After": "²"}, None),
        ({"Retry_After": "9" * 30}, None),
        ({"Retry_After": "Fri, 31 Dec 99999999999 23:59:59 GMT"}, None),
        ({"Retry_After": "Fri, 31 Dec 2027 23:59:59 +99999999999999"}, None),
        ({"Retry_After": "Thu, 01 Jan 2026 00:01:30 GMT", "Date": f"Thu, 01 Jan {'9' * 30} 00:00:00 GMT"}, 90),
        ({}, None),
    ],
)
@pytest.mark.parametrize("status", ["429 Too Many Requests", "503 Service Unavailable"])
def test_the_pause_follows_retry_after(status: str, headers: dict[str, str], seconds: int | None) -> None:
    time = Time()
    encoded = (
        response(status=status).replace(
            b"\r\n\r\n",
            b"\r\n%s\r\n\r\n"
            % b"\r\n".join(f"{name.replace('_', '-')}: {value}".encode() for name, value in headers.items()),
        )
        if headers
        else response(status=status)
    )
    with replying(encoded, response()) as (address, _):
        fetch(address, time)
    assert time.slept == [seconds] if seconds else time.slept[0] <= 1


def test_requests_to_this_machine_bypass_the_proxy_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{free_port()}")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    with replying(response()) as (address, _):
        assert fetch(address).records


def test_requests_to_other_machines_use_the_proxy_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    with replying(response()) as (proxy, requests):
        monkeypatch.setenv("http_proxy", proxy)
        assert fetch("http://api.example").records
    assert requests[0].startswith(b"GET http://api.example/api/1.4/?")


def test_a_page_has_the_time_at_which_it_was_fetched() -> None:
    with replying(response()) as (address, _):
        assert fetch(address).fetched_at == NOW
