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
from insights.probes import ProbeServer
from insights.publisher.message_size import compute_wire_size, fits_topic
from insights.publisher.metrics import ALIVE_SECONDS, PublisherMetrics
from insights.publisher.wakeup import WakeUp


def message(value: bytes, batch_id: str = "seed/1") -> RawMessage:
    return RawMessage(
        "12345", uuid.UUID(int=7), value, batch_id, 1_700_000_000_000_000, datetime(2026, 1, 1, tzinfo=UTC)
    )


def varint(number: int) -> bytes:
    number *= 2
    coded = b""
    while True:
        coded += bytes([number & 0x7F | (0x80 if number > 0x7F else 0)])
        number >>= 7
        if not number:
            return coded


def encoded_record(sent: RawMessage) -> bytes:
    """The record as the protocol writes it, spelled out."""
    key = str(sent.key).encode()
    body = b"\0\0\0" + varint(len(key)) + key + varint(len(sent.value)) + sent.value + varint(len(sent.headers()))
    for name, value in sent.headers():
        body += varint(len(name)) + name.encode() + varint(len(value)) + value
    return varint(len(body)) + body


@pytest.mark.parametrize("size", [0, 1, 63, 64, 8191, 8192, 100_000, 1_048_576, 3_000_000])
def test_the_wire_size_is_that_of_a_batch_of_one_record(size: int) -> None:
    sent = message(b"x" * size)
    assert compute_wire_size(sent) == 61 + len(encoded_record(sent))


@pytest.mark.parametrize("batch_id", ["s/1", "ü" * 5000])
def test_a_message_fits_up_to_the_last_byte_of_the_limit(batch_id: str) -> None:
    sent = message(b"x" * 20_000, batch_id)
    assert fits_topic(sent, compute_wire_size(sent))
    assert not fits_topic(sent, compute_wire_size(sent) - 1)


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
    """The time that the metrics see, to be set."""
    return [0.0]


@pytest.fixture
def metrics(clock: list[float]) -> PublisherMetrics:
    return PublisherMetrics(lambda: clock[0])


def probe_server(metrics: PublisherMetrics, port: int) -> ProbeServer:
    setting = "INSIGHTS_PUBLISHER_HTTP_PORT"
    return ProbeServer("127.0.0.1", port, setting, metrics.registry, healthz=metrics.dead, readyz=metrics.unready)


@pytest.fixture
def probes(metrics: PublisherMetrics) -> Iterator[ProbeServer]:
    with closing(probe_server(metrics, 0)) as server:
        yield server


def get(probes: ProbeServer, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{probes.port}{path}", timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_a_publisher_is_ready_while_connected(metrics: PublisherMetrics, probes: ProbeServer) -> None:
    assert get(probes, "/readyz") == (503, "not connected\n")
    metrics.connected = True
    assert get(probes, "/readyz") == (200, "ok\n")


def test_a_publisher_that_stands_still_is_not_alive(
    metrics: PublisherMetrics, probes: ProbeServer, clock: list[float]
) -> None:
    assert get(probes, "/healthz") == (200, "ok\n")
    clock[0] = ALIVE_SECONDS + 5
    assert get(probes, "/healthz") == (503, "no progress for 125 s\n")
    metrics.beat()
    assert get(probes, "/healthz") == (200, "ok\n")


def test_metrics_and_nothing_else_is_there(metrics: PublisherMetrics, probes: ProbeServer) -> None:
    metrics.published.inc(3)
    status, text = get(probes, "/metrics")
    assert status == 200
    assert "insights_publisher_published_total 3.0" in text
    assert get(probes, "/other")[0] == 404


def test_a_taken_port_is_named(metrics: PublisherMetrics, probes: ProbeServer) -> None:
    with pytest.raises(UserError, match=f"Port {probes.port} on 127.0.0.1 cannot.*INSIGHTS_PUBLISHER_HTTP_PORT"):
        probe_server(metrics, probes.port)
