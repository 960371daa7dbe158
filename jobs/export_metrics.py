"""Export the state of the flow as Prometheus metrics until SIGTERM or SIGINT."""

import signal
import sys
from contextlib import closing

from insights import entrypoint
from insights.exporter.loop import Exporter
from insights.exporter.metrics import FlowMetrics
from insights.probes import ProbeServer
from insights.settings import ExporterSettings, KafkaSettings, PostgresSettings, load
from insights.wakeup import WakeUp


def main() -> int:
    return entrypoint.run(_export)


def _export() -> None:
    wake, metrics = WakeUp(), FlowMetrics()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, wake.stop)
    settings = load(ExporterSettings)
    exporter = Exporter(load(PostgresSettings), load(KafkaSettings), settings, wake, metrics)
    probes = ProbeServer(
        settings.http_host,
        settings.http_port,
        "INSIGHTS_EXPORTER_HTTP_PORT",
        metrics.registry,
        healthz=metrics.explain_liveness_failure,
        readyz=metrics.explain_readiness_failure,
    )
    with closing(probes):
        exporter.run()


if __name__ == "__main__":
    sys.exit(main())
