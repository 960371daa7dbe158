"""The probes of a process, towards clients that behave badly."""

import socket
import struct
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing
from urllib.request import Request, urlopen

import pytest
from prometheus_client import CollectorRegistry, Metric
from prometheus_client.core import Exemplar, HistogramMetricFamily
from prometheus_client.registry import Collector

from insights.probes import ProbeServer
from tests.helpers.support import eventually

PROMETHEUS = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
    "application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,"
    "text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)
"""What Prometheus 3 sends."""


class FixedMetrics(Collector):
    """Always the same metrics."""

    def __init__(self, *families: Metric) -> None:
        self._families = families

    def collect(self) -> Iterator[Metric]:
        yield from self._families


@pytest.fixture
def hang_up() -> Callable[[Callable[[], str | None]], None]:
    """A function that asks a probe whose check is given, and hangs up before the answer."""

    def ask(check: Callable[[], str | None]) -> None:
        asked, answer = threading.Event(), threading.Event()

        def slow_check() -> str | None:
            asked.set()
            answer.wait(20)
            return check()

        server = ProbeServer(
            "127.0.0.1", 0, "INSIGHTS_TEST_PORT", CollectorRegistry(), healthz=slow_check, readyz=slow_check
        )
        handlers = threading.active_count()
        with socket.create_connection(("127.0.0.1", server.port)) as client:
            client.sendall(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert asked.wait(20)
            # A reset instead of an orderly end, so that the first write of the answer fails.
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        answer.set()
        eventually(lambda: threading.active_count() <= handlers, 20, "the request is still being handled")
        server.close()

    return ask


@pytest.mark.parametrize(
    ("accept", "content_type", "exemplar"),
    [
        (None, "text/plain; version=0.0.4", ""),
        ("*/*", "text/plain; version=0.0.4", ""),
        (PROMETHEUS, "application/openmetrics-text; version=1.0.0", ' # {trace_id="4bf9"} 0.3'),
    ],
)
def test_exemplars_are_for_clients_that_accept_openmetrics(
    accept: str | None, content_type: str, exemplar: str
) -> None:
    registry = CollectorRegistry()
    buckets = [("+Inf", 1.0, Exemplar({"trace_id": "4bf9"}, 0.3))]
    registry.register(FixedMetrics(HistogramMetricFamily("latency_seconds", "Latency", buckets, sum_value=0.3)))
    server = ProbeServer("127.0.0.1", 0, "INSIGHTS_TEST_PORT", registry, healthz=lambda: None, readyz=lambda: None)
    request = Request(f"http://127.0.0.1:{server.port}/metrics", headers={"Accept": accept} if accept else {})
    with closing(server), urlopen(request, timeout=20) as answer:
        assert answer.headers["Content-Type"].startswith(content_type)
        assert f'latency_seconds_bucket{{le="+Inf"}} 1.0{exemplar}' in answer.read().decode().splitlines()


def test_a_probe_that_hangs_up_leaves_no_traceback(
    hang_up: Callable[[Callable[[], str | None]], None], capfd: pytest.CaptureFixture[str]
) -> None:
    hang_up(lambda: None)
    assert capfd.readouterr().err == ""


def test_an_error_of_a_check_is_still_logged(
    hang_up: Callable[[Callable[[], str | None]], None], capfd: pytest.CaptureFixture[str]
) -> None:
    def fail() -> str:
        raise RuntimeError("the check is broken")

    hang_up(fail)
    assert "RuntimeError: the check is broken" in capfd.readouterr().err


def test_a_probe_without_a_check_does_not_exist() -> None:
    with closing(ProbeServer("127.0.0.1", 0, "INSIGHTS_TEST_PORT", CollectorRegistry())) as server:
        address = f"http://127.0.0.1:{server.port}"
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(f"{address}/readyz", timeout=10)
        assert (refused.value.code, refused.value.read()) == (404, b"not found: these exist: /metrics\n")
        assert urllib.request.urlopen(f"{address}/metrics", timeout=10).status == 200
