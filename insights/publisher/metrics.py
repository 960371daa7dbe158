"""What the publisher tells Prometheus and the kubelet."""

import time
from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, ProcessCollector

ALIVE_SECONDS = 120
"""The loop turns at least this often, whatever it waits for."""


class PublisherMetrics:
    """Counters of this process, and the signs of life behind `/healthz` and `/readyz`."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.published = self._counter("published", "Rows that the broker acknowledged.")
        self.quarantined = self._counter("quarantined", "Rows too large for the topic.")
        self.batches = self._counter("batches", "Batches acknowledged, cursor moved.")
        self.reconnects = self._counter("reconnects", "Times that PostgreSQL or Kafka was lost, or not there.")
        self.lag = self._gauge("lag_rows", "Staged rows beyond the cursor; of the leader.")
        self.last_publish = self._gauge("last_publish_timestamp_seconds", "When the cursor last moved.")
        self.leader = self._gauge("leader", "1 while this process leads.")
        self.gate_wait = self._gauge("gate_wait_seconds", "How long staged rows have waited for an older transaction.")
        self.connected = False
        self._beaten = self._clock()

    def beat(self) -> None:
        """The loop has turned."""
        self._beaten = self._clock()

    def dead(self) -> str | None:
        """Why the process should be restarted, or None."""
        silence = self._clock() - self._beaten
        return f"no progress for {silence:.0f} s" if silence > ALIVE_SECONDS else None

    def unready(self) -> str | None:
        """Why the process does no work, or None; a standby is ready."""
        return None if self.connected else "not connected"

    def _counter(self, name: str, text: str) -> Counter:
        return Counter(f"insights_publisher_{name}", text, registry=self.registry)

    def _gauge(self, name: str, text: str) -> Gauge:
        return Gauge(f"insights_publisher_{name}", text, registry=self.registry)
