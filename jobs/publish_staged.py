"""Publish staged rows to Kafka until SIGTERM or SIGINT."""

import sys

from insights import entrypoint
from insights.publisher.loop import Publisher
from insights.publisher.metrics import PublisherMetrics
from insights.settings import KafkaSettings, PostgresSettings, PublisherSettings, load


def main() -> int:
    return entrypoint.run(_publish)


def _publish() -> None:
    settings, metrics = load(PublisherSettings), PublisherMetrics()
    entrypoint.run_loop(
        lambda wake: Publisher(load(PostgresSettings), load(KafkaSettings), settings, wake, metrics),
        settings,
        "INSIGHTS_PUBLISHER_HTTP_PORT",
        metrics,
    )


if __name__ == "__main__":
    sys.exit(main())
