"""Publish staged rows to Kafka until SIGTERM or SIGINT."""

import logging
import signal
import sys
from contextlib import closing

from insights.errors import UserError
from insights.probes import ProbeServer
from insights.publisher.loop import Publisher
from insights.publisher.metrics import PublisherMetrics
from insights.publisher.wakeup import WakeUp
from insights.settings import KafkaSettings, PostgresSettings, PublisherSettings, load


def main() -> int:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    wake, metrics = WakeUp(), PublisherMetrics()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, wake.stop)
    try:
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
    except UserError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
