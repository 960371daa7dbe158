"""The metrics of the exporter and the state behind its probes."""

import math
import time
from collections.abc import Callable, Mapping
from datetime import datetime

from prometheus_client import Counter, Gauge

from insights.exporter.measurement import Measurement
from insights.ledger.hops import LedgerState
from insights.model.reasons import Reason
from insights.probes import LoopMetrics

_TOTALS = ("fetched", "staged", "duplicates", "published", "served", "quarantined")


class FlowMetrics(LoopMetrics):
    """The metrics of the flow. A value that is not known, such as before the first check, is NaN."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(clock)
        self._records = self._make_gauge("records", "Records that each hop has processed, as the stores count.", "hop")
        self._unpublished = self._make_gauge("unpublished_rows", "Staged rows that wait for the publisher.")
        self._unread = self._make_gauge("unread_messages", "Messages that no merged micro-batch has read.")
        self._undelivered = self._make_gauge("undelivered_batches", "Merged micro-batches that wait for Cassandra.")
        self._overdue = self._make_gauge("overdue_batches", "Those of them that were merged more than 5 minutes ago.")
        self._staged_at = self._make_gauge("staged_timestamp_seconds", "When the newest page was staged.")
        self._delivered_at = self._make_gauge(
            "delivered_timestamp_seconds", "When the newest micro-batch was delivered."
        )
        self._newest_record = self._make_gauge(
            "newest_record_timestamp_seconds", "When the newest record that the pages show was fetched."
        )
        self._latency = self._make_gauge(
            "latency_seconds", "Time from the fetch of a user to its delivery, in the last 5 minutes.", "percentile"
        )
        self._quarantined = self._make_gauge("quarantined_records", "Open records in quarantine.", "reason")
        self._rejected = self._make_gauge("rejected_records", "Records rejected in the last 10 minutes.", "reason")
        self._ledger = self._make_gauge("ledger_state", "1 for the state that the last check found.", "state")
        self._open = self._make_gauge(
            "ledger_open_records", "Records by which the sides of a hop differed in the last check.", "hop"
        )
        self._checked_at = self._make_gauge("checked_timestamp_seconds", "When the last check started.")
        self._fully_checked_at = self._make_gauge(
            "fully_checked_timestamp_seconds", "When the last check of everything started."
        )
        self._check_seconds = self._make_gauge("check_seconds", "How long the last check took.")
        self._measured_at = self._make_gauge("measured_timestamp_seconds", "When the stores last answered.")
        self._failures = Counter(
            "measurement_failures", "Measurements that failed.", ["store"], "insights", "flow", registry=self.registry
        )
        for store in ("postgres", "kafka"):
            self._failures.labels(store)
        self._connected = False
        self._forget()

    def record(self, measured: Measurement, *, kafka_answered: bool) -> None:
        """Replace every value by what was measured. Without Kafka, the messages that wait are not known."""
        self._connected = True
        self._measured_at.set_to_current_time()
        for hop in _TOTALS:
            self._records.labels(hop).set(getattr(measured.totals, hop))
        flow = measured.in_flight
        self._unpublished.set(flow.unpublished)
        self._unread.set(flow.unread if kafka_answered else math.nan)
        self._undelivered.set(flow.undelivered)
        self._overdue.set(flow.overdue)
        self._staged_at.set(_to_timestamp(measured.staged_at))
        self._delivered_at.set(_to_timestamp(measured.totals.served_at))
        self._newest_record.set(_to_timestamp(measured.newest_record))
        for percentile in (50, 95, 99):
            value = getattr(measured.latency, f"p{percentile}") if measured.latency else math.nan
            self._latency.labels(str(percentile)).set(value)
        for gauge, counts in ((self._quarantined, measured.quarantined), (self._rejected, measured.rejected)):
            _set_reasons(gauge, counts)
        self._record_check(measured)

    def record_failure(self, store: str) -> None:
        """Record that a store did not answer. Without PostgreSQL nothing is known."""
        self._failures.labels(store).inc()
        if store == "postgres":
            self._connected = False
            self._forget()

    def explain_readiness_failure(self) -> str | None:
        """Why the metrics are not known, or None."""
        return None if self._connected else "PostgreSQL has not answered"

    def _record_check(self, measured: Measurement) -> None:
        check = measured.check
        for state in LedgerState:
            self._ledger.labels(state.value).set(check.state is state if check else math.nan)
        self._open.clear()
        for hop, records in (check.open_records if check else {}).items():
            self._open.labels(hop).set(records)
        self._checked_at.set(_to_timestamp(check.checked_at if check else None))
        self._fully_checked_at.set(_to_timestamp(check.full_at if check else None))
        self._check_seconds.set(check.seconds if check else math.nan)

    def _forget(self) -> None:
        for gauge in (self._records, self._latency, self._quarantined, self._rejected, self._ledger, self._open):
            gauge.clear()
        for gauge in (
            *(self._unpublished, self._unread, self._undelivered, self._overdue, self._staged_at, self._delivered_at),
            *(self._newest_record, self._checked_at, self._fully_checked_at, self._check_seconds),
        ):
            gauge.set(math.nan)

    def _make_gauge(self, name: str, description: str, *labels: str) -> Gauge:
        return Gauge(name, description, labels, namespace="insights", subsystem="flow", registry=self.registry)


def _set_reasons(gauge: Gauge, counts: Mapping[str, int]) -> None:
    """Set every reason, so that a rate can be computed from the first record of one."""
    for reason in {*(reason.value for reason in Reason), *counts}:
        gauge.labels(reason).set(counts.get(reason, 0))


def _to_timestamp(instant: datetime | None) -> float:
    return instant.timestamp() if instant else math.nan
