"""The exporter's loop: measure the flow at an interval, whatever the stores answer."""

import logging
from contextlib import closing

import psycopg2
from confluent_kafka import KafkaException
from psycopg2.extensions import connection as PgConnection

from insights.clients import connections, kafka_admin
from insights.clients.stream_position import Watermarks
from insights.errors import UserError
from insights.exporter.measurement import measure
from insights.exporter.metrics import FlowMetrics
from insights.settings import ExporterSettings, KafkaSettings, PostgresSettings
from insights.wakeup import WakeUp

_log = logging.getLogger(__name__)
_APPLICATION = "insights-exporter"


class Exporter:
    """Measures the flow until it is stopped, by `wake.stop`."""

    def __init__(
        self,
        postgres: PostgresSettings,
        kafka: KafkaSettings,
        settings: ExporterSettings,
        wake: WakeUp,
        metrics: FlowMetrics,
    ) -> None:
        self._postgres, self._kafka, self._settings = postgres, kafka, settings
        self._wake, self._metrics = wake, metrics

    def run(self) -> None:
        """Measure until stopped. An outage is logged, and the loop goes on."""
        while not self._wake.stopped:
            try:
                with closing(connections.connect_postgres(self._postgres, _APPLICATION)) as connection:
                    connection.set_session(isolation_level="REPEATABLE READ", readonly=True)
                    self._measure_until_stopped(connection)
            except (UserError, psycopg2.Error) as error:
                _log.warning("PostgreSQL: %s", str(error).strip())
                self._metrics.record_failure("postgres")
                self._pause()

    def _measure_until_stopped(self, connection: PgConnection) -> None:
        while not self._wake.stopped:
            watermarks = self._read_watermarks()
            with connection, connection.cursor() as cursor:
                measured = measure(cursor, self._kafka.raw_topic, watermarks or {})
            self._metrics.record(measured, kafka_answered=watermarks is not None)
            self._pause()

    def _read_watermarks(self) -> Watermarks | None:
        try:
            return kafka_admin.read_watermarks(kafka_admin.get_admin(self._kafka), self._kafka.raw_topic)
        except (UserError, KafkaException) as error:
            _log.warning("Kafka: %s", error)
            self._metrics.record_failure("kafka")
            return None

    def _pause(self) -> None:
        self._metrics.record_heartbeat()
        self._wake.wait(self._settings.interval_seconds)
        self._metrics.record_heartbeat()
