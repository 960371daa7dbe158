"""The platform's own processes: the simulator, the publisher, the stream and the dashboard."""

import sys
from pathlib import Path

from insights.local.http import is_answering
from insights.local.process import Component

REPOSITORY = Path(__file__).parents[2]


class Service(Component):
    """A Python program of this repository that answers HTTP once it is ready."""

    variable: str
    health: str

    def __init__(self, state_dir: Path, port: int, environment: dict[str, str], arguments: list[str]) -> None:
        super().__init__(state_dir)
        self.host, self.port = "127.0.0.1", port
        self._environment, self._arguments = environment, arguments

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    def ports(self) -> dict[str, int]:
        return {self.variable: self.port}

    def environment(self) -> dict[str, str]:
        return self._environment

    def command(self) -> list[str]:
        return [sys.executable, *self._arguments]

    def ready(self) -> bool:
        return is_answering(self.url + self.health)


class SimulatorService(Service):
    """The simulator of the Random User API; with `recorded`, it serves a folder of recorded responses."""

    name = "simulator"
    variable = "INSIGHTS_SIMULATOR_PORT"
    health = "/api/1.4/?results=1"

    def __init__(self, state_dir: Path, port: int, environment: dict[str, str], recorded: Path | None = None) -> None:
        arguments = ["-m", "insights.simulator", "--port", str(port)]
        if recorded:
            arguments += ["--recorded", str(recorded.resolve())]
        super().__init__(state_dir, port, environment, arguments)


class PublisherService(Service):
    """Publishes staged rows to Kafka."""

    name = "publisher"
    variable = "INSIGHTS_PUBLISHER_HTTP_PORT"
    health = "/readyz"
    directory = REPOSITORY

    def __init__(self, state_dir: Path, port: int, environment: dict[str, str]) -> None:
        super().__init__(state_dir, port, environment, ["jobs/publish_staged.py"])


class StreamService(Service):
    """Spark's driver and executor in one process."""

    name = "stream"
    variable = "INSIGHTS_STREAM_HTTP_PORT"
    health = "/readyz"
    stop_seconds = 45.0

    def __init__(self, state_dir: Path, port: int, environment: dict[str, str]) -> None:
        super().__init__(state_dir, port, environment, [str(REPOSITORY / "jobs/stream_users.py")])


class ExporterService(Service):
    """Measures the flow for Prometheus."""

    name = "exporter"
    variable = "INSIGHTS_EXPORTER_HTTP_PORT"
    health = "/readyz"
    directory = REPOSITORY

    def __init__(self, state_dir: Path, port: int, environment: dict[str, str]) -> None:
        super().__init__(state_dir, port, environment, ["jobs/export_metrics.py"])


class DashboardService(Service):
    """Streamlit with the dashboard's pages."""

    name = "dashboard"
    variable = "INSIGHTS_DASHBOARD_PORT"
    metrics_variable = "INSIGHTS_DASHBOARD_METRICS_PORT"
    health = "/_stcore/health"
    directory = REPOSITORY / "dashboard"

    def __init__(self, state_dir: Path, port: int, environment: dict[str, str], metrics_port: int) -> None:
        arguments = ["-m", "streamlit", "run", "serve.py", "--server.headless=true", "--server.address=127.0.0.1"]
        arguments += [f"--server.port={port}", "--browser.gatherUsageStats=false", "--server.fileWatcherType=none"]
        arguments += ["--server.allowedHosts=127.0.0.1", "--server.allowedHosts=localhost"]
        super().__init__(state_dir, port, environment, arguments)
        self._metrics_port = metrics_port

    def ports(self) -> dict[str, int]:
        return super().ports() | {self.metrics_variable: self._metrics_port}
