"""The publisher's Prometheus metrics and the state behind its probes."""

import time
from collections.abc import Callable

from prometheus_client import Counter, Gauge

from insights.probes import LoopMetrics


class PublisherMetrics(LoopMetrics):
    """The metrics of this process, and why `/healthz` or `/readyz` fails."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(clock)
        self.published = self._make_counter("published", "Rows acknowledged by the broker.")
        self.quarantined = self._make_counter("quarantined", "Rows rejected as too large for the topic.")
        self.batches = self._make_counter("batches", "Batches published, with the cursor advanced past them.")
        self.reconnects = self._make_counter(
            "reconnects", "Connections to PostgreSQL or Kafka that failed or were lost."
        )
        self.lag = self._make_gauge("lag_rows", "Staged rows beyond the cursor, reported by the leader.")
        self.last_publish = self._make_gauge("last_publish_timestamp_seconds", "When the cursor was last advanced.")
        self.leader = self._make_gauge("leader", "1 while this process leads.")
        self.gate_wait = self._make_gauge(
            "gate_wait_seconds", "How long staged rows have been waiting for an older transaction to end."
        )
        self.connected = False

    def explain_readiness_failure(self) -> str | None:
        """Why the process cannot work, or None. A standby is ready."""
        return None if self.connected else "not connected"

    def _make_counter(self, name: str, help_text: str) -> Counter:
        return Counter(f"insights_publisher_{name}", help_text, registry=self.registry)

    def _make_gauge(self, name: str, help_text: str) -> Gauge:
        return Gauge(f"insights_publisher_{name}", help_text, registry=self.registry)
