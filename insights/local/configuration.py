"""The platform's components on this machine, and the variables and addresses by which to reach them."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from insights.environment import extend_no_proxy
from insights.local.airflow import DASHBOARD_USER, USER, AirflowProcess, AirflowScheduler, build_airflow_environment
from insights.local.cassandra import CassandraServer
from insights.local.jars import list_group_files
from insights.local.kafka import KafkaServer
from insights.local.monitoring import PrometheusServer
from insights.local.postgres import PostgresServer
from insights.local.secrets import Secrets
from insights.local.services import (
    REPOSITORY,
    DashboardService,
    ExporterService,
    PublisherService,
    SimulatorService,
    StreamService,
)
from insights.settings import (
    AirflowSettings,
    CassandraSettings,
    DashboardSettings,
    ExporterSettings,
    KafkaSettings,
    LocalSettings,
    PostgresSettings,
    PublisherSettings,
    SourceSettings,
    StagingSettings,
    StoreSettings,
    StreamSettings,
    load,
    to_environment,
)
from insights.text import mask_url

LOOPBACK = "127.0.0.1"
LIVE_URL = "https://randomuser.me/api/1.4/"
AIRFLOW_PARTS = ("api-server", "scheduler", "dag-processor", "triggerer")


@dataclass(frozen=True)
class DemoOptions:
    """Where the records come from, and when, and what runs beside the flow."""

    live: bool = False
    """From the public API instead of the simulator; `LocalSettings.source_url` takes precedence over both."""
    recorded: Path | None = None
    """A folder of recorded responses that the simulator serves instead of generated ones."""
    again: bool = False
    """Trigger the ingest even if it has run before."""
    prometheus: Path | None = None
    """The program that scrapes the components, and the exporter with it; None to run neither."""


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


def load_store_settings(settings: LocalSettings, postgres_user: str, postgres_password: str) -> StoreSettings:
    """The settings of clients of this platform's own servers.

    What contradicts these servers in the environment is ignored: other addresses and logins, TLS, and replicas. Names,
    sizes and timeouts are honoured.

    Raises:
        UserError: a variable that is honoured has an invalid value.
    """
    anonymous: dict[str, Any] = {"username": None, "password": SecretStr(""), "ca_file": None}
    return StoreSettings(
        load(
            PostgresSettings,
            host=LOOPBACK,
            port=settings.postgres_port,
            user=postgres_user,
            password=SecretStr(postgres_password),
            sslmode="prefer",
            sslrootcert=None,
        ),
        load(
            KafkaSettings,
            bootstrap_servers=f"{LOOPBACK}:{settings.kafka_port}",
            security_protocol="PLAINTEXT",
            replication_factor=1,
            **anonymous,
        ),
        load(
            CassandraSettings,
            hosts=LOOPBACK,
            port=settings.cassandra_port,
            local_dc=CassandraServer.local_dc,
            replication="{'class': 'SimpleStrategy', 'replication_factor': 1}",
            consistency="LOCAL_QUORUM",
            **anonymous,
        ),
    )


def check_settings(settings: LocalSettings) -> None:
    """Check every variable that a process of the platform reads, before any of them starts.

    Raises:
        UserError: a variable has an invalid value.
    """
    load_store_settings(settings, "insights", "")
    load(StreamSettings, checkpoint="set by the platform", master="local[2,4]", jars="", http_host=LOOPBACK)
    load(PublisherSettings, http_host=LOOPBACK)
    load(DashboardSettings, auth="none")
    load(AirflowSettings, url="", username=DASHBOARD_USER)
    load(ExporterSettings, http_host=LOOPBACK)
    for group in (SourceSettings, StagingSettings):
        load(group)


class Configuration:
    """The components and their settings, fixed before the first process starts.

    Raises:
        UserError: a variable has an invalid value.
    """

    def __init__(self, settings: LocalSettings, options: DemoOptions, java: Path) -> None:
        home = settings.home.resolve()
        self.home, self.java, self.jars = home, java, settings.jars
        check_settings(settings)
        self.secrets = Secrets.load_or_create(home / "secrets.json")
        self.postgres = PostgresServer(home, settings.postgres_port)
        self.kafka = KafkaServer(
            home, settings.kafka_port, java=java, jars=settings.jars, controller_port=settings.kafka_controller_port
        )
        self.cassandra = CassandraServer(
            home, settings.cassandra_port, java=java, jars=settings.jars, storage_port=settings.cassandra_storage_port
        )
        self._stores = load_store_settings(settings, self.postgres.user, self.postgres.password)
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
            (AirflowScheduler if part == "scheduler" else AirflowProcess)(
                home, part, settings.airflow_port, self.airflow_environment
            )
            for part in AIRFLOW_PARTS
        ]
        self.simulator = SimulatorService(home, settings.simulator_port, python, options.recorded)
        self.publisher = PublisherService(home, settings.publisher_http_port, python)
        self.stream = StreamService(home, settings.stream_http_port, python)
        self.dashboard = DashboardService(
            home,
            settings.dashboard_port,
            python | to_environment(self.airflow_settings),
            settings.dashboard_metrics_port,
        )
        self.exporter = self.prometheus = None
        if options.prometheus:
            self.exporter = ExporterService(home, settings.exporter_http_port, python)
            scraped = (self.publisher, self.stream, self.exporter)
            targets = {service.name: service.port for service in scraped}
            targets[self.dashboard.name] = settings.dashboard_metrics_port
            self.prometheus = PrometheusServer(home, settings.prometheus_port, options.prometheus, targets)

    @property
    def postgres_settings(self) -> PostgresSettings:
        return self._stores.postgres

    @property
    def kafka_settings(self) -> KafkaSettings:
        return self._stores.kafka

    @property
    def cassandra_settings(self) -> CassandraSettings:
        return self._stores.cassandra

    @property
    def airflow_settings(self) -> AirflowSettings:
        """The dashboard's own login to Airflow; no other process gets it."""
        password = SecretStr(self.secrets.airflow_dashboard_password)
        return load(AirflowSettings, url=self.airflow[0].url, username=DASHBOARD_USER, password=password)

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
        if self.prometheus:
            servers.append(Address("prometheus", self.prometheus.url))
        source = mask_url(self.environment["INSIGHTS_SOURCE_URL"])
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
        no_proxy = extend_no_proxy(LOOPBACK, "localhost")
        return {
            "INSIGHTS_HOME": str(self.home),
            **to_environment(self.postgres_settings, self.kafka_settings, self.cassandra_settings),
            "INSIGHTS_SOURCE_URL": url,
            "INSIGHTS_PUBLISHER_HTTP_HOST": LOOPBACK,
            "INSIGHTS_PUBLISHER_HTTP_PORT": str(settings.publisher_http_port),
            "INSIGHTS_STREAM_HTTP_HOST": LOOPBACK,
            "INSIGHTS_STREAM_HTTP_PORT": str(settings.stream_http_port),
            "INSIGHTS_EXPORTER_HTTP_HOST": LOOPBACK,
            "INSIGHTS_EXPORTER_HTTP_PORT": str(settings.exporter_http_port),
            "INSIGHTS_DASHBOARD_METRICS_HOST": LOOPBACK,
            "INSIGHTS_DASHBOARD_METRICS_PORT": str(settings.dashboard_metrics_port),
            "INSIGHTS_DASHBOARD_AUTH": "none",
            "INSIGHTS_DASHBOARD_OPERATORS": "*",
            "INSIGHTS_STREAM_CHECKPOINT": str(stream_home / "checkpoint"),
            "INSIGHTS_STREAM_MASTER": "local[2,4]",
            "INSIGHTS_STREAM_JARS": ",".join(str(path) for path in list_group_files("spark", settings.jars)),
            "JAVA_HOME": str(self.java.parent.parent),
            "SPARK_LOCAL_IP": "127.0.0.1",
            "SPARK_LOCAL_DIRS": str(stream_home / "tmp"),
            "NO_PROXY": no_proxy,
            "no_proxy": no_proxy,
        }
