"""Export the state of the flow as Prometheus metrics until SIGTERM or SIGINT."""

import sys

from insights import entrypoint
from insights.exporter.loop import Exporter
from insights.exporter.metrics import FlowMetrics
from insights.settings import ExporterSettings, KafkaSettings, PostgresSettings, load


def main() -> int:
    return entrypoint.run(_export)


def _export() -> None:
    settings, metrics = load(ExporterSettings), FlowMetrics()
    entrypoint.run_loop(
        lambda wake: Exporter(load(PostgresSettings), load(KafkaSettings), settings, wake, metrics),
        settings,
        "INSIGHTS_EXPORTER_HTTP_PORT",
        metrics,
    )


if __name__ == "__main__":
    sys.exit(main())
