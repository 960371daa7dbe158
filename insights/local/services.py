"""The platform's own processes: the simulator, the publisher, the stream, the exporter and the dashboard."""

import sys
from pathlib import Path

from insights.local.http import is_answering
from insights.local.process import Component

REPOSITORY = Path(__file__).parents[2]


class HttpComponent(Component):
    """A component that answers HTTP once it is ready."""

    variable: str
    health: str

    def __init__(self, state_dir: Path, port: int) -> None:
        super().__init__(state_dir)
        self.host, self.port = "127.0.0.1", port

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    def ports(self) -> dict[str, int]:
        return {self.variable: self.port}

    def ready(self) -> bool:
        return is_answering(self.url + self.health)


class Service(HttpComponent):
    """A Python program of this repository."""

    def __init__(self, state_dir: Path, port: int, environment: dict[str, str], arguments: list[str]) -> None:
        super().__init__(state_dir, port)
        self._environment, self._arguments = environment, arguments

    def environment(self) -> dict[str, str]:
        return self._environment

    def command(self) -> list[str]:
        return [sys.executable, *self._arguments]


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


class JobService(Service):
    """A program of `jobs` with its probes."""

    program: str
    health = "/readyz"
    directory: Path | None = REPOSITORY

    def __init__(self, state_dir: Path, port: int, environment: dict[str, str]) -> None:
        super().__init__(state_dir, port, environment, [str(REPOSITORY / "jobs" / self.program)])


class PublisherService(JobService):
    """Publishes staged rows to Kafka."""

    name = "publisher"
    program = "publish_staged.py"
    variable = "INSIGHTS_PUBLISHER_HTTP_PORT"


class StreamService(JobService):
    """Spark's driver and executor in one process."""

    name = "stream"
    program = "stream_users.py"
    variable = "INSIGHTS_STREAM_HTTP_PORT"
    stop_seconds = 45.0
    directory = None


class ExporterService(JobService):
    """Measures the flow for Prometheus."""

    name = "exporter"
    program = "export_metrics.py"
    variable = "INSIGHTS_EXPORTER_HTTP_PORT"


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
        super().__init__(state_dir, port, environment | {self.metrics_variable: str(metrics_port)}, arguments)
        self._metrics_port = metrics_port

    def ports(self) -> dict[str, int]:
        return super().ports() | {self.metrics_variable: self._metrics_port}
