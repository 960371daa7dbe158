"""Publish staged rows to Kafka until SIGTERM or SIGINT."""

import signal
import sys
from contextlib import closing

from insights import entrypoint
from insights.probes import ProbeServer
from insights.publisher.loop import Publisher
from insights.publisher.metrics import PublisherMetrics
from insights.settings import KafkaSettings, PostgresSettings, PublisherSettings, load
from insights.wakeup import WakeUp


def main() -> int:
    return entrypoint.run(_publish)


def _publish() -> None:
    wake, metrics = WakeUp(), PublisherMetrics()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, wake.stop)
    settings = load(PublisherSettings)
    publisher = Publisher(load(PostgresSettings), load(KafkaSettings), settings, wake, metrics)
    probes = ProbeServer(
        settings.http_host,
        settings.http_port,
        "INSIGHTS_PUBLISHER_HTTP_PORT",
        metrics.registry,
        healthz=metrics.explain_liveness_failure,
        readyz=metrics.explain_readiness_failure,
    )
    with closing(probes):
        publisher.run()


if __name__ == "__main__":
    sys.exit(main())
