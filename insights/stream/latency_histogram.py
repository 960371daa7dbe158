"""The latency of delivered users as a Prometheus histogram, with traces as exemplars."""

import time
from collections.abc import Iterator, Sequence
from itertools import accumulate
from threading import Lock

from prometheus_client.core import Exemplar, HistogramMetricFamily
from prometheus_client.registry import Collector

from insights.model.message import make_page_trace
from insights.sinks.latencies import BOUNDS, BucketOfUsers

_LABELS = [*map(str, BOUNDS), "+Inf"]


class LatencyHistogram(Collector):
    """The histogram `insights_stream_latency_seconds`. Unlike the client's own, it takes many users at once."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._users = [0] * len(_LABELS)
        self._exemplars: list[Exemplar | None] = [None] * len(_LABELS)
        self._seconds = 0.0

    def add(self, latencies: Sequence[BucketOfUsers]) -> None:
        """Count users that have just been delivered."""
        with self._lock:
            for added in latencies:
                self._users[added.bucket] += added.users
                self._seconds += added.total_seconds
                if added.page is not None:
                    trace = {"trace_id": make_page_trace(added.page)[0]}
                    self._exemplars[added.bucket] = Exemplar(trace, added.slowest_seconds, time.time())

    def collect(self) -> Iterator[HistogramMetricFamily]:
        """Yield the histogram."""
        with self._lock:
            rows = zip(_LABELS, accumulate(self._users), self._exemplars, strict=True)
            buckets = [(label, users, exemplar) if exemplar else (label, users) for label, users, exemplar in rows]
            seconds = self._seconds
        yield HistogramMetricFamily(
            "insights_stream_latency_seconds",
            "Time from the fetch of a new user until every sink had it",
            buckets,
            sum_value=seconds,
        )
