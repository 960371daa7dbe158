"""The platform's components on this machine, and the variables and addresses by which to reach them."""

import json
from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr

from insights.local.airflow import DASHBOARD_USER, USER, AirflowProcess, build_airflow_environment
from insights.local.cassandra import CassandraServer
from insights.local.jars import list_group_files
from insights.local.kafka import KafkaServer
from insights.local.postgres import PostgresServer
from insights.local.secrets import Secrets
from insights.local.services import REPOSITORY, DashboardService, PublisherService, SimulatorService, StreamService
from insights.settings import (
    AirflowSettings,
    CassandraSettings,
    KafkaSettings,
    LocalSettings,
    PostgresSettings,
    to_environment,
)

LIVE_URL = "https://randomuser.me/api/1.4/"
AIRFLOW_PARTS = ("api-server", "scheduler", "dag-processor", "triggerer")


@dataclass(frozen=True)
class DemoOptions:
    """Where the records come from, and when."""

    live: bool = False
    """From the public API instead of the simulator; `LocalSettings.source_url` takes precedence over both."""
    recorded: Path | None = None
    """A folder of recorded responses that the simulator serves instead of generated ones."""
    again: bool = False
    """Trigger the ingest even if it has run before."""


@dataclass(frozen=True)
class Address:
    """How to reach and log in to one server; fields that do not apply to it are empty."""

    name: str
    url: str = ""
    host: str = ""
    port: int = 0
    database: str = ""
    user: str = ""
    password: str = ""


class Configuration:
    """The components and their settings, fixed before the first process starts."""

    def __init__(self, settings: LocalSettings, options: DemoOptions, java: Path) -> None:
        home = settings.home.resolve()
        self.home, self.java, self.jars = home, java, settings.jars
        self.secrets = Secrets.load_or_create(home / "secrets.json")
        self.postgres = PostgresServer(home, settings.postgres_port)
        self.kafka = KafkaServer(
            home, settings.kafka_port, java=java, jars=settings.jars, controller_port=settings.kafka_controller_port
        )
        self.cassandra = CassandraServer(
            home, settings.cassandra_port, java=java, jars=settings.jars, storage_port=settings.cassandra_storage_port
        )
        self.again = options.again
        self.simulated = not options.live and not settings.source_url
        self.environment = self._build_environment(settings)
        python = self.environment | {"PYTHONPATH": str(REPOSITORY), "PYTHONUNBUFFERED": "1"}
        self.airflow_home = home / "airflow"
        self.airflow_environment = (
            python
            | build_airflow_environment(
                self.airflow_home, REPOSITORY / "dags", self.postgres, settings.airflow_port, self.secrets
            )
            | {"AIRFLOW_CONN_KAFKA_DEFAULT": self._build_kafka_connection()}
        )
        self.airflow = [
            AirflowProcess(home, part, settings.airflow_port, self.airflow_environment) for part in AIRFLOW_PARTS
        ]
        self.simulator = SimulatorService(home, settings.simulator_port, python, options.recorded)
        self.publisher = PublisherService(home, settings.publisher_http_port, python)
        self.stream = StreamService(home, settings.stream_http_port, python)
        self.dashboard = DashboardService(home, settings.dashboard_port, python | to_environment(self.airflow_settings))

    @property
    def postgres_settings(self) -> PostgresSettings:
        server = self.postgres
        return PostgresSettings(
            host=server.host, port=server.port, user=server.user, password=SecretStr(server.password)
        )

    @property
    def kafka_settings(self) -> KafkaSettings:
        return KafkaSettings(bootstrap_servers=self.kafka.bootstrap_servers)

    @property
    def cassandra_settings(self) -> CassandraSettings:
        return CassandraSettings(hosts=self.cassandra.host, port=self.cassandra.port, local_dc=self.cassandra.local_dc)

    @property
    def airflow_settings(self) -> AirflowSettings:
        """The dashboard's own login to Airflow; no other process gets it."""
        password = SecretStr(self.secrets.airflow_dashboard_password)
        return AirflowSettings(url=self.airflow[0].url, username=DASHBOARD_USER, password=password)

    def addresses(self) -> list[Address]:
        """Every address that a person or a tool may need, with its login."""
        postgres, kafka, cassandra = self.postgres_settings, self.kafka_settings, self.cassandra_settings
        password = postgres.password.get_secret_value()
        servers = [
            Address("dashboard", self.dashboard.url),
            Address("airflow", self.airflow[0].url, user=USER, password=self.secrets.airflow_password),
            Address("postgres", "", postgres.host, postgres.port, postgres.dbname, postgres.user, password),
            Address("kafka", "", self.kafka.host, self.kafka.port, kafka.raw_topic),
            Address("cassandra", "", self.cassandra.host, self.cassandra.port, cassandra.keyspace),
            Address("publisher", self.publisher.url),
            Address("stream", self.stream.url),
        ]
        source = self.environment["INSIGHTS_SOURCE_URL"]
        return [*servers, Address("simulator" if self.simulated else "source", source)]

    def _build_kafka_connection(self) -> str:
        """Airflow's Kafka connection. It partitions keys as the publisher does."""
        extra = {"bootstrap.servers": self.kafka.bootstrap_servers, "partitioner": "murmur2_random"}
        return json.dumps({"extra": extra})

    def _build_environment(self, settings: LocalSettings) -> dict[str, str]:
        """The environment variables of every process and command of this platform."""
        url = f"http://127.0.0.1:{settings.simulator_port}/api/1.4/"
        if not self.simulated:
            url = settings.source_url or LIVE_URL
        stream_home = self.home / "stream"
        return {
            "INSIGHTS_HOME": str(self.home),
            **to_environment(self.postgres_settings, self.kafka_settings, self.cassandra_settings),
            "INSIGHTS_SOURCE_URL": url,
            "INSIGHTS_PUBLISHER_HTTP_PORT": str(settings.publisher_http_port),
            "INSIGHTS_STREAM_HTTP_PORT": str(settings.stream_http_port),
            "INSIGHTS_DASHBOARD_AUTH": "none",
            "INSIGHTS_DASHBOARD_OPERATORS": "*",
            "INSIGHTS_STREAM_CHECKPOINT": str(stream_home / "checkpoint"),
            "INSIGHTS_STREAM_MASTER": "local[2]",
            "INSIGHTS_STREAM_JARS": ",".join(str(path) for path in list_group_files("spark", settings.jars)),
            "JAVA_HOME": str(self.java.parent.parent),
            "SPARK_LOCAL_IP": "127.0.0.1",
            "SPARK_LOCAL_DIRS": str(stream_home / "tmp"),
            "NO_PROXY": "127.0.0.1,localhost",
            "no_proxy": "127.0.0.1,localhost",
        }
