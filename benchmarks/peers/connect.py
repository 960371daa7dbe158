"""Kafka Connect as a process, with one connector of Debezium."""

import json
from collections.abc import Mapping
from urllib.request import urlopen

from benchmarks.common.servers import free_port
from benchmarks.peers.environment import LOCK
from insights.local.configuration import Configuration
from insights.local.jars import list_group_files, read_lock
from insights.local.kafka import escape_property
from insights.local.process import Component

LOGGING = """\
<Configuration status="WARN"><Appenders><Console name="out"><PatternLayout pattern="%d %p %m (%c)%n%throwable{20}"/>
</Console></Appenders><Loggers><Root level="WARN"><AppenderRef ref="out"/></Root></Loggers></Configuration>
"""


class ConnectWorker(Component):
    """A standalone worker. It is ready when its connector and the connector's tasks run, and ends if one fails.

    Args:
        configuration: the platform, whose Kafka the worker uses.
        name: of the worker and its connector.
        plugin: the group of jars of the connector.
        worker: properties of the worker, beside its addresses.
        connector: properties of the connector.
    """

    def __init__(
        self,
        configuration: Configuration,
        name: str,
        plugin: str,
        worker: Mapping[str, str],
        connector: Mapping[str, str],
    ) -> None:
        self.name = name
        super().__init__(configuration.home)
        self._java, self._jars, self._plugin = configuration.java, configuration.jars, plugin
        self._url = f"http://127.0.0.1:{free_port()}"
        self._connector = {"name": name, **connector}
        self._worker = {
            "bootstrap.servers": configuration.kafka.bootstrap_servers,
            "listeners": self._url,
            "plugin.path": str(self.state / "plugins"),
            "offset.storage.file.filename": str(self.state / "offsets"),
            "key.converter": "org.apache.kafka.connect.json.JsonConverter",
            "value.converter": "org.apache.kafka.connect.json.JsonConverter",
            **worker,
        }

    def prepare(self) -> None:
        plugin = self.state / "plugins" / self._plugin
        plugin.mkdir(parents=True, exist_ok=True)
        # A plugin with a copy of what the worker has does not start: Jackson would find modules of the worker's copy.
        provided = {jar.name for jar in read_lock(LOCK) if jar.group == "connect"}
        for jar in read_lock(LOCK):
            link = plugin / jar.file
            if jar.group == self._plugin and jar.name not in provided and not link.exists():
                link.symlink_to(self._jars / jar.file)
        (self.state / "log4j2.xml").write_text(LOGGING)
        for name, properties in (("worker", self._worker), ("connector", self._connector)):
            lines = (f"{key}={escape_property(value)}\n" for key, value in properties.items())
            (self.state / f"{name}.properties").write_text("".join(lines), encoding="ascii")

    def command(self) -> list[str]:
        connect = list_group_files("connect", self._jars, LOCK)
        logging = [jar for jar in list_group_files("kafka", self._jars) if "log4j" in jar.name]
        return [
            str(self._java),
            *("-Xmx512m", f"-Dlog4j2.configurationFile={(self.state / 'log4j2.xml').as_uri()}"),
            *("-cp", ":".join(str(jar) for jar in [*connect, *logging])),
            "org.apache.kafka.connect.cli.ConnectStandalone",
            *(str(self.state / f"{name}.properties") for name in ("worker", "connector")),
        ]

    def ready(self) -> bool:
        with urlopen(f"{self._url}/connectors/{self.name}/status", timeout=5) as answer:
            status = json.load(answer)
        states = [status["connector"]["state"], *(task["state"] for task in status["tasks"])]
        if "FAILED" in states:
            self.stop()
        return len(states) > 1 and set(states) == {"RUNNING"}
