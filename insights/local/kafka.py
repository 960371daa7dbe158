"""A Kafka node on loopback that is both broker and KRaft controller."""

import base64
import subprocess
import uuid
from pathlib import Path

from confluent_kafka.admin import AdminClient

from insights.environment import read_inherited_environment
from insights.errors import UserError
from insights.local.jars import list_group_files
from insights.local.process import Component

LOGGING = """\
<Configuration status="WARN"><Appenders><Console name="out"><PatternLayout pattern="%d %p %m (%c)%n%throwable{20}"/>
</Console></Appenders><Loggers><Root level="WARN"><AppenderRef ref="out"/></Root></Loggers></Configuration>
"""


class KafkaServer(Component):
    """A single KRaft node. Topics have one replica, and none is created automatically."""

    name = "kafka"
    stop_seconds = 20.0

    def __init__(
        self, state_dir: Path, port: int = 9092, *, java: Path, jars: Path, controller_port: int = 9093
    ) -> None:
        super().__init__(state_dir)
        self.host, self.port, self.controller_port = "127.0.0.1", port, controller_port
        self._java, self._jars = java, jars
        self._properties = self.state / "server.properties"
        self._logging = self.state / "log4j2.xml"

    @property
    def bootstrap_servers(self) -> str:
        return f"{self.host}:{self.port}"

    def ports(self) -> dict[str, int]:
        return {"INSIGHTS_KAFKA_PORT": self.port, "INSIGHTS_KAFKA_CONTROLLER_PORT": self.controller_port}

    def prepare(self) -> None:
        self._logging.write_text(LOGGING)
        lines = [f"{key}={escape_property(str(value))}\n" for key, value in self._build_settings().items()]
        self._properties.write_text("".join(lines), encoding="ascii")
        if not (self.state / "data" / "meta.properties").exists():
            self._format_storage()

    def command(self) -> list[str]:
        heap = ["-Xms96m", "-Xmx256m", "-XX:MaxDirectMemorySize=128m", "-XX:ReservedCodeCacheSize=64m"]
        return self._build_java_command(heap, "kafka.Kafka", str(self._properties))

    def ready(self) -> bool:
        client = AdminClient({"bootstrap.servers": self.bootstrap_servers, "log_level": 0})
        return bool(client.list_topics(timeout=2).brokers)

    def _build_settings(self) -> dict[str, object]:
        return {
            "process.roles": "broker,controller",
            "node.id": 1,
            "controller.quorum.voters": f"1@{self.host}:{self.controller_port}",
            "controller.listener.names": "CONTROLLER",
            "listeners": f"PLAINTEXT://{self.host}:{self.port},CONTROLLER://{self.host}:{self.controller_port}",
            "advertised.listeners": f"PLAINTEXT://{self.host}:{self.port}",
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "log.dirs": self.state / "data",
            "auto.create.topics.enable": "false",
            "num.partitions": 2,
            "default.replication.factor": 1,
            "min.insync.replicas": 1,
            "offsets.topic.replication.factor": 1,
            "offsets.topic.num.partitions": 4,
            "transaction.state.log.replication.factor": 1,
            "transaction.state.log.num.partitions": 4,
            "transaction.state.log.min.isr": 1,
            "share.coordinator.state.topic.replication.factor": 1,
            "share.coordinator.state.topic.min.isr": 1,
            "group.initial.rebalance.delay.ms": 0,
            "num.network.threads": 2,
            "num.io.threads": 2,
            "num.replica.fetchers": 1,
            "num.recovery.threads.per.data.dir": 2,
            "background.threads": 2,
            "log.cleaner.threads": 1,
            "log.cleaner.dedupe.buffer.size": 4 * 1024 * 1024,
            "log.segment.bytes": 128 * 1024 * 1024,
            "log.retention.hours": 24 * 14,
            "log.index.size.max.bytes": 2 * 1024 * 1024,
            "metadata.log.max.record.bytes.between.snapshots": 8 * 1024 * 1024,
            "controlled.shutdown.enable": "true",
        }

    def _format_storage(self) -> None:
        command = self._build_format_command()
        result = subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
            env=read_inherited_environment(),
        )
        if result.returncode != 0:
            lines = (result.stderr or result.stdout).strip().splitlines() or [f"exit code {result.returncode}"]
            raise UserError(f"Kafka's storage in {self.state} could not be formatted: {lines[-1]}")

    def _build_format_command(self) -> list[str]:
        cluster_id = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        command = self._build_java_command(["-Xmx128m"], "kafka.tools.StorageTool", "format")
        # Without `=`, an id that begins with a dash would be read as an option.
        return [*command, f"--cluster-id={cluster_id}", "--config", str(self._properties), "--ignore-formatted"]

    def _build_java_command(self, heap: list[str], main: str, *arguments: str) -> list[str]:
        classpath = ":".join(str(path) for path in list_group_files("kafka", self._jars))
        options = ["-XX:+UseSerialGC", "-XX:+ExitOnOutOfMemoryError", "-Xshare:auto", "-Djava.awt.headless=true"]
        options += [
            f"-Dlog4j2.configurationFile={self._logging.as_uri()}",
            "-XX:TieredStopAtLevel=1",
            "-Duser.language=en",
        ]
        return [str(self._java), *heap, *options, "-cp", classpath, main, *arguments]


def escape_property(value: str) -> str:
    """A value of a Java properties file, which Java reads as Latin-1, with escapes for everything but ASCII."""
    units = value.replace("\\", "\\\\").encode("utf-16-be")
    codes = [int.from_bytes(units[at : at + 2]) for at in range(0, len(units), 2)]
    return "".join(chr(code) if code < 128 else f"\\u{code:04x}" for code in codes)
