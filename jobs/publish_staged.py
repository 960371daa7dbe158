"""Publish staged rows to Kafka until SIGTERM or SIGINT."""

import sys

from insights import entrypoint
from insights.clients.tracing import open_spans
from insights.publisher.loop import Publisher
from insights.publisher.metrics import PublisherMetrics
from insights.settings import KafkaSettings, PostgresSettings, PublisherSettings, load


def main() -> int:
    return entrypoint.run(_publish)


def _publish() -> None:
    settings, metrics = load(PublisherSettings), PublisherMetrics()
    with open_spans("insights-publisher") as spans:
        entrypoint.run_loop(
            lambda wake: Publisher(load(PostgresSettings), load(KafkaSettings), settings, wake, metrics, spans),
            settings,
            "INSIGHTS_PUBLISHER_HTTP_PORT",
            metrics,
        )


if __name__ == "__main__":
    sys.exit(main())
