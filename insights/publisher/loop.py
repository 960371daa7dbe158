"""The publisher's loop: stand by, lead, read, send, move the cursor; begin again after any outage."""

import logging
import os
import time
from contextlib import closing

import psycopg2
from psycopg2.extensions import connection as PgConnection

from insights.clients import connections
from insights.errors import UserError
from insights.publisher import staged_rows
from insights.publisher.leader import FencedError, LeaderCursor
from insights.publisher.metrics import PublisherMetrics
from insights.publisher.producer import BatchProducer, UndeliveredError
from insights.publisher.wakeup import WakeUp
from insights.settings import KafkaSettings, PostgresSettings, PublisherSettings

_log = logging.getLogger(__name__)
_APPLICATION = "insights-publisher"
_FIRST_PAUSE, _LONGEST_PAUSE = 0.2, 10.0
_STOP_SECONDS = 10
"""How long a stop waits for acknowledgements of the batch in hand."""
_GATE_FIRST_PAUSE, _GATE_LONGEST_PAUSE = 0.01, 1.0
_GATE_WARNING_SECONDS = 10
_LAG_SECONDS = 2


class Publisher:
    """Publishes until stopped. `wake.stop` ends it after the batch in hand."""

    def __init__(
        self,
        postgres: PostgresSettings,
        kafka: KafkaSettings,
        settings: PublisherSettings,
        wake: WakeUp,
        metrics: PublisherMetrics,
    ) -> None:
        self._postgres, self._kafka, self._settings = postgres, kafka, settings
        self._wake, self._metrics = wake, metrics
        self._pause = _FIRST_PAUSE
        self._gate = Gate(metrics)
        self._lag_read = 0.0
        self._stop_deadline: float | None = None

    def run(self) -> None:
        """Return when stopped; every outage is logged and waited out."""
        while not self._wake.stopped:
            try:
                self._session()
            except (UserError, psycopg2.Error, UndeliveredError, FencedError) as error:
                self._metrics.reconnects.inc()
                _log.warning("%s; trying again in %.1f s", str(error).strip(), self._pause)
                self._disconnected()
                self._wake.wait(self._pause)
                self._pause = min(2 * self._pause, _LONGEST_PAUSE)
        self._disconnected()

    def _session(self) -> None:
        with closing(connections.connect_postgres(self._postgres, f"{_APPLICATION}/{os.getpid()}")) as connection:
            connection.autocommit = True
            _shorten_keepalive(connection)
            cursor = LeaderCursor(connection, self._kafka.raw_topic)
            while not self._wake.stopped:
                self._beat()
                if cursor.acquire():
                    self._lead(connection, cursor)
                    return
                self._metrics.connected = True
                self._pause = _FIRST_PAUSE
                self._wake.wait(self._settings.poll_seconds)

    def _lead(self, connection: PgConnection, cursor: LeaderCursor) -> None:
        self._metrics.connected = False
        with closing(BatchProducer(self._kafka, _APPLICATION, self._settings.flush_seconds)) as sender:
            staged_rows.prepare_connection(connection)
            self._metrics.leader.set(1)
            self._metrics.connected = True
            ahead: staged_rows.StagedBatch | None = None
            while not self._wake.stopped:
                self._beat()
                self._measure_lag(connection)
                batch = ahead or self._read(connection, cursor, cursor.position, sender)
                if batch:
                    sender.send(batch)
                    # The broker works meanwhile.
                    full = len(batch) == self._settings.batch_rows
                    ahead = self._read(connection, cursor, batch.end, sender) if full else None
                    self._finish(cursor, sender, batch)
                else:
                    self._idle(connection, cursor)
                self._pause = _FIRST_PAUSE
        cursor.release()

    def _read(
        self, connection: PgConnection, cursor: LeaderCursor, after: staged_rows.CommitPosition, sender: BatchProducer
    ) -> staged_rows.StagedBatch:
        return staged_rows.read_batch(connection, cursor.epoch, after, self._settings.batch_rows, sender.limit)

    def _finish(self, cursor: LeaderCursor, sender: BatchProducer, batch: staged_rows.StagedBatch) -> None:
        refused = batch.refused + sender.acknowledge(batch, self._beat)
        cursor.move(batch.end, len(batch), refused)
        for record in refused:
            _log.warning("row %s is in quarantine: %s", record.event_id, record.detail)
        self._gate.passed()
        self._metrics.batches.inc()
        self._metrics.published.inc(len(batch) - len(refused))
        self._metrics.quarantined.inc(len(refused))
        self._metrics.last_publish.set_to_current_time()

    def _idle(self, connection: PgConnection, cursor: LeaderCursor) -> None:
        if staged_rows.has_gated_rows(connection, cursor.position):
            self._wake.wait(self._gate.held(connection))
            return
        self._gate.passed()
        self._metrics.lag.set(0)
        self._wake.wait(self._settings.poll_seconds, connection)

    def _measure_lag(self, connection: PgConnection) -> None:
        if time.monotonic() - self._lag_read > _LAG_SECONDS:
            self._metrics.lag.set(staged_rows.count_lag(connection, self._kafka.raw_topic))
            self._lag_read = time.monotonic()

    def _beat(self) -> bool:
        """A sign of life; false once a stop has waited long enough."""
        self._metrics.beat()
        if not self._wake.stopped:
            return True
        now = time.monotonic()
        self._stop_deadline = self._stop_deadline or now + _STOP_SECONDS
        return now < self._stop_deadline

    def _disconnected(self) -> None:
        self._metrics.connected = False
        self._metrics.leader.set(0)
        self._metrics.lag.set(0)
        self._lag_read = 0.0
        self._gate.passed()


class Gate:
    """Committed rows that wait until an older transaction, anywhere in the server, has ended."""

    def __init__(self, metrics: PublisherMetrics) -> None:
        self._metrics = metrics
        self._since: float | None = None
        self._pause = _GATE_FIRST_PAUSE
        self._warned: int | None = None

    def held(self, connection: PgConnection) -> float:
        """Note the wait, and name the transaction when it lasts. Returns the seconds until the next look."""
        now = time.monotonic()
        self._since = self._since or now
        self._metrics.gate_wait.set(now - self._since)
        if now - self._since > _GATE_WARNING_SECONDS:
            self._name_writer(connection, now - self._since)
        pause, self._pause = self._pause, min(2 * self._pause, _GATE_LONGEST_PAUSE)
        return pause

    def passed(self) -> None:
        """Nothing waits."""
        self._since, self._warned, self._pause = None, None, _GATE_FIRST_PAUSE
        self._metrics.gate_wait.set(0)

    def _name_writer(self, connection: PgConnection, seconds: float) -> None:
        writer = staged_rows.find_oldest_writer(connection)
        if writer is None:
            return
        pid, application, age = writer
        if pid == self._warned:
            return
        self._warned = pid
        who = f"of pid {pid} ({application})" if pid else "that was prepared"
        _log.warning("staged rows have waited %.0f s for a transaction %s, open for %.0f s, to end", seconds, who, age)


def _shorten_keepalive(connection: PgConnection) -> None:
    """Have the server notice within half a minute that we are gone: the lock is free then."""
    with connection.cursor() as cursor:
        cursor.execute("SET tcp_keepalives_idle = 15; SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 3")
