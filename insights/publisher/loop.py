"""The publisher's loop: wait for leadership, read, send, advance the cursor; after an outage, start again."""

import logging
import os
import time
from contextlib import closing

import psycopg2
from psycopg2.extensions import connection as PgConnection

from insights import failpoints
from insights.clients import connections
from insights.clients.tracing import Spans
from insights.errors import UserError
from insights.publisher import staged_rows
from insights.publisher.leader import FencedError, LeaderCursor
from insights.publisher.metrics import PublisherMetrics
from insights.publisher.producer import BatchProducer, UndeliveredError
from insights.settings import KafkaSettings, PostgresSettings, PublisherSettings
from insights.wakeup import WakeUp

_log = logging.getLogger(__name__)
_APPLICATION = "insights-publisher"
_MIN_PAUSE_SECONDS, _MAX_PAUSE_SECONDS = 0.2, 10.0
_STOP_TIMEOUT_SECONDS = 10
"""How long a stop waits for the acknowledgements of the batch in flight."""
_GATE_MIN_PAUSE_SECONDS, _GATE_MAX_PAUSE_SECONDS = 0.01, 1.0
_GATE_WARNING_SECONDS = 10
_LAG_INTERVAL_SECONDS = 2


class Publisher:
    """Publishes staged rows until it is stopped; `wake.stop` ends it after the batch in flight."""

    def __init__(
        self,
        postgres: PostgresSettings,
        kafka: KafkaSettings,
        settings: PublisherSettings,
        wake: WakeUp,
        metrics: PublisherMetrics,
        spans: Spans,
    ) -> None:
        self._postgres, self._kafka, self._settings = postgres, kafka, settings
        self._wake, self._metrics, self._spans = wake, metrics, spans
        self._pause = _MIN_PAUSE_SECONDS
        self._gate = Gate(metrics)
        self._lag_measured_at = 0.0
        self._stop_deadline: float | None = None

    def run(self) -> None:
        """Publish until stopped. Outages are logged and retried with backoff."""
        while not self._wake.stopped:
            try:
                self._run_session()
            except (UserError, psycopg2.Error, UndeliveredError, FencedError) as error:
                self._metrics.reconnects.inc()
                _log.warning("%s; trying again in %.1f s", str(error).strip(), self._pause)
                self._mark_disconnected()
                self._wake.wait(self._pause)
                self._pause = min(2 * self._pause, _MAX_PAUSE_SECONDS)
        self._mark_disconnected()

    def _run_session(self) -> None:
        """Stand by on one database connection until leadership is acquired, then lead."""
        with closing(connections.connect_postgres(self._postgres, f"{_APPLICATION}/{os.getpid()}")) as connection:
            connection.autocommit = True
            _shorten_keepalive(connection)
            cursor = LeaderCursor(connection, self._kafka.raw_topic)
            told = False
            while not self._wake.stopped:
                self._record_heartbeat()
                if cursor.try_acquire():
                    self._lead(connection, cursor)
                    return
                if not told:
                    _log.info("standing by: %s, leads", cursor.describe_leader())
                    told = True
                self._metrics.connected = True
                self._pause = _MIN_PAUSE_SECONDS
                self._wake.wait(self._settings.poll_seconds)

    def _lead(self, connection: PgConnection, cursor: LeaderCursor) -> None:
        self._metrics.connected = False
        with closing(BatchProducer(self._kafka, _APPLICATION, self._settings.flush_seconds)) as producer:
            staged_rows.prepare_connection(connection)
            self._metrics.leader.set(1)
            self._metrics.connected = True
            prefetched: staged_rows.StagedBatch | None = None
            while not self._wake.stopped:
                self._record_heartbeat()
                self._measure_lag(connection)
                batch = prefetched or self._read_batch(connection, cursor, cursor.position, producer)
                if batch:
                    failpoints.reach("publish.batch_read")
                    with self._spans.batch("publish batch", batch.iterate_batch_ids()) as attributes:
                        attributes["insights.rows"] = len(batch)
                        producer.send(batch)
                        failpoints.reach("publish.batch_sent")
                        # Read the next batch while this one is in flight.
                        is_full = len(batch) == self._settings.batch_rows
                        prefetched = self._read_batch(connection, cursor, batch.end, producer) if is_full else None
                        self._complete_batch(cursor, producer, batch)
                else:
                    self._wait_for_rows(connection, cursor)
                self._pause = _MIN_PAUSE_SECONDS
        cursor.release()

    def _read_batch(
        self, connection: PgConnection, cursor: LeaderCursor, after: staged_rows.CommitPosition, producer: BatchProducer
    ) -> staged_rows.StagedBatch:
        return staged_rows.read_batch(
            connection, cursor.epoch, after, self._settings.batch_rows, producer.max_message_bytes
        )

    def _complete_batch(self, cursor: LeaderCursor, producer: BatchProducer, batch: staged_rows.StagedBatch) -> None:
        """Wait for the acknowledgements of the batch, then advance the cursor past it."""
        rejected = batch.rejected + producer.await_acknowledgements(batch, self._record_heartbeat)
        cursor.advance(batch.end, len(batch), rejected)
        for record in rejected:
            _log.warning("quarantined row %s: %s", record.event_id, record.detail)
        self._gate.clear()
        self._metrics.batches.inc()
        self._metrics.published.inc(len(batch) - len(rejected))
        self._metrics.quarantined.inc(len(rejected))
        self._metrics.last_publish.set_to_current_time()

    def _wait_for_rows(self, connection: PgConnection, cursor: LeaderCursor) -> None:
        if staged_rows.has_rows_beyond(connection, cursor.position):
            self._wake.wait(self._gate.record_wait(connection))
            return
        self._gate.clear()
        self._metrics.lag.set(0)
        self._wake.wait(self._settings.poll_seconds, connection)

    def _measure_lag(self, connection: PgConnection) -> None:
        if time.monotonic() - self._lag_measured_at > _LAG_INTERVAL_SECONDS:
            self._metrics.lag.set(staged_rows.count_lag(connection, self._kafka.raw_topic))
            self._lag_measured_at = time.monotonic()

    def _record_heartbeat(self) -> bool:
        """Record a heartbeat. Returns false once the timeout of a requested stop has expired."""
        self._metrics.record_heartbeat()
        if not self._wake.stopped:
            return True
        now = time.monotonic()
        self._stop_deadline = self._stop_deadline or now + _STOP_TIMEOUT_SECONDS
        return now < self._stop_deadline

    def _mark_disconnected(self) -> None:
        self._metrics.connected = False
        self._metrics.leader.set(0)
        self._metrics.lag.set(0)
        self._lag_measured_at = 0.0
        self._gate.clear()


class Gate:
    """Tracks how long committed rows have waited for an older transaction, in any database of the server, to end."""

    def __init__(self, metrics: PublisherMetrics) -> None:
        self._metrics = metrics
        self._waiting_since: float | None = None
        self._pause = _GATE_MIN_PAUSE_SECONDS
        self._warned_pid: int | None = None

    def record_wait(self, connection: PgConnection) -> float:
        """Record that rows wait, and log the transaction after a while. Returns the seconds until the next check."""
        now = time.monotonic()
        self._waiting_since = self._waiting_since or now
        self._metrics.gate_wait.set(now - self._waiting_since)
        if now - self._waiting_since > _GATE_WARNING_SECONDS:
            self._log_oldest_writer(connection, now - self._waiting_since)
        pause, self._pause = self._pause, min(2 * self._pause, _GATE_MAX_PAUSE_SECONDS)
        return pause

    def clear(self) -> None:
        """Record that no rows wait."""
        self._waiting_since, self._warned_pid, self._pause = None, None, _GATE_MIN_PAUSE_SECONDS
        self._metrics.gate_wait.set(0)

    def _log_oldest_writer(self, connection: PgConnection, seconds: float) -> None:
        writer = staged_rows.find_oldest_writer(connection)
        if writer is None or writer.pid == self._warned_pid:
            return
        self._warned_pid = writer.pid
        transaction = (
            f"transaction of pid {writer.pid} ({writer.application})" if writer.pid else "prepared transaction"
        )
        _log.warning(
            "staged rows have been waiting for %.0f s for a %s, open for %.0f s, to end",
            seconds,
            transaction,
            writer.age_seconds,
        )


def _shorten_keepalive(connection: PgConnection) -> None:
    """Have the server detect within half a minute that this client is gone, which frees the leader's lock."""
    with connection.cursor() as cursor:
        cursor.execute("SET tcp_keepalives_idle = 15; SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 3")
