import threading
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime

import pytest

from insights.errors import UserError
from insights.model.message import RawMessage
from insights.probes import MAX_HEARTBEAT_AGE_SECONDS, ProbeServer
from insights.publisher.message_size import compute_wire_size, fits_topic
from insights.publisher.metrics import PublisherMetrics
from insights.wakeup import WakeUp


def make_message(value: bytes, batch_id: str = "seed/1") -> RawMessage:
    return RawMessage(
        "12345", uuid.UUID(int=7), value, batch_id, 1_700_000_000_000_000, datetime(2026, 1, 1, tzinfo=UTC)
    )


def encode_varint(number: int) -> bytes:
    number *= 2
    encoded = b""
    while True:
        encoded += bytes([number & 0x7F | (0x80 if number > 0x7F else 0)])
        number >>= 7
        if not number:
            return encoded


def encode_record(message: RawMessage) -> bytes:
    """The record as the protocol specifies it."""
    key = str(message.key).encode()
    body = (
        b"\0\0\0"
        + encode_varint(len(key))
        + key
        + encode_varint(len(message.value))
        + message.value
        + encode_varint(len(message.headers()))
    )
    for name, value in message.headers():
        body += encode_varint(len(name)) + name.encode() + encode_varint(len(value)) + value
    return encode_varint(len(body)) + body


@pytest.mark.parametrize("size", [0, 1, 63, 64, 8191, 8192, 100_000, 1_048_576, 3_000_000])
def test_the_wire_size_is_that_of_a_batch_of_one_record(size: int) -> None:
    message = make_message(b"x" * size)
    assert compute_wire_size(message) == 61 + len(encode_record(message))


@pytest.mark.parametrize("batch_id", ["s/1", "ü" * 5000])
def test_a_message_fits_up_to_the_last_byte_of_the_limit(batch_id: str) -> None:
    message = make_message(b"x" * 20_000, batch_id)
    assert fits_topic(message, compute_wire_size(message))
    assert not fits_topic(message, compute_wire_size(message) - 1)


def test_a_stop_ends_a_wait_at_once() -> None:
    wake = WakeUp()
    waiter = threading.Thread(target=wake.wait, args=(600,))
    waiter.start()
    wake.stop()
    waiter.join(10)
    assert not waiter.is_alive()
    assert wake.stopped


@pytest.fixture
def clock() -> list[float]:
    """The current time of the metrics, which a test may set."""
    return [0.0]


@pytest.fixture
def metrics(clock: list[float]) -> PublisherMetrics:
    return PublisherMetrics(lambda: clock[0])


def probe_server(metrics: PublisherMetrics, port: int) -> ProbeServer:
    setting = "INSIGHTS_PUBLISHER_HTTP_PORT"
    return ProbeServer(
        "127.0.0.1",
        port,
        setting,
        metrics.registry,
        healthz=metrics.explain_liveness_failure,
        readyz=metrics.explain_readiness_failure,
    )


@pytest.fixture
def probes(metrics: PublisherMetrics) -> Iterator[ProbeServer]:
    with closing(probe_server(metrics, 0)) as server:
        yield server


def fetch(probes: ProbeServer, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{probes.port}{path}", timeout=10) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_a_publisher_is_ready_while_connected(metrics: PublisherMetrics, probes: ProbeServer) -> None:
    assert fetch(probes, "/readyz") == (503, "not connected\n")
    metrics.connected = True
    assert fetch(probes, "/readyz") == (200, "ok\n")


def test_a_publisher_without_progress_is_not_alive(
    metrics: PublisherMetrics, probes: ProbeServer, clock: list[float]
) -> None:
    assert fetch(probes, "/healthz") == (200, "ok\n")
    clock[0] = MAX_HEARTBEAT_AGE_SECONDS + 5
    assert fetch(probes, "/healthz") == (503, "no progress for 125 s\n")
    metrics.record_heartbeat()
    assert fetch(probes, "/healthz") == (200, "ok\n")


def test_metrics_are_served_and_other_paths_are_not_found(metrics: PublisherMetrics, probes: ProbeServer) -> None:
    metrics.published.inc(3)
    status, text = fetch(probes, "/metrics")
    assert status == 200
    assert "insights_publisher_published_total 3.0" in text
    assert fetch(probes, "/other")[0] == 404


def test_a_port_in_use_is_named(metrics: PublisherMetrics, probes: ProbeServer) -> None:
    with pytest.raises(UserError, match=f"Port {probes.port} on 127.0.0.1 cannot.*INSIGHTS_PUBLISHER_HTTP_PORT"):
        probe_server(metrics, probes.port)
