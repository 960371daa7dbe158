"""Every setting of the platform, read from `INSIGHTS_*` environment variables. No other module reads them."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import AnyHttpUrl, Field, Json, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from insights.errors import UserError

_MIN_SECRET_CHARACTERS = 16
"""Minimum length of the secret that a proxy authenticates itself with."""


class PostgresSettings(BaseSettings):
    """The PostgreSQL database that holds staging, quarantine and analytics."""

    model_config = SettingsConfigDict(env_prefix="INSIGHTS_POSTGRES_", frozen=True)

    host: str = "127.0.0.1"
    port: int = 5432
    dbname: str = "insights"
    user: str = "insights"
    password: SecretStr = SecretStr("")
    sslmode: str = "prefer"
    sslrootcert: Path | None = None
    connect_timeout_seconds: int = 10

    def connection(self, application: str) -> dict[str, Any]:
        """Keyword arguments for `psycopg2.connect`; `application` is the name in `pg_stat_activity`."""
        arguments: dict[str, Any] = {
            "host": self.host,
            "port": self.port,
            "dbname": self.dbname,
            "user": self.user,
            "password": self.password.get_secret_value(),
            "sslmode": self.sslmode,
            "connect_timeout": self.connect_timeout_seconds,
            "application_name": application,
            "options": "-c timezone=UTC",
        }
        if self.sslrootcert:
            arguments["sslrootcert"] = str(self.sslrootcert)
        return arguments


class KafkaSettings(BaseSettings):
    """The Kafka brokers and the platform's two topics."""

    model_config = SettingsConfigDict(env_prefix="INSIGHTS_KAFKA_", frozen=True)

    bootstrap_servers: str = "127.0.0.1:9092"
    raw_topic: str = "users.raw"
    quarantine_topic: str = "users.quarantine"
    partitions: int = 2
    replication_factor: int = 1
    max_message_bytes: int = 1_048_588
    """`max.message.bytes` of both topics; the default is Kafka's own."""
    security_protocol: str = "PLAINTEXT"
    sasl_mechanism: str = "SCRAM-SHA-512"
    username: str | None = None
    password: SecretStr = SecretStr("")
    ca_file: Path | None = None

    def client(self) -> dict[str, Any]:
        """The connection properties of a librdkafka client."""
        config: dict[str, Any] = {
            "bootstrap.servers": self.bootstrap_servers,
            "security.protocol": self.security_protocol,
        }
        if self.username:
            config |= {
                "sasl.mechanism": self.sasl_mechanism,
                "sasl.username": self.username,
                "sasl.password": self.password.get_secret_value(),
            }
        if self.ca_file:
            config["ssl.ca.location"] = str(self.ca_file)
        return config

    def spark(self) -> dict[str, str]:
        """The same connection properties as options of Spark's Kafka source."""
        options = {
            "kafka.bootstrap.servers": self.bootstrap_servers,
            "kafka.security.protocol": self.security_protocol,
        }
        if self.username:
            escaped = self.password.get_secret_value().replace("\\", "\\\\").replace('"', '\\"')
            options |= {
                "kafka.sasl.mechanism": self.sasl_mechanism,
                "kafka.sasl.jaas.config": "org.apache.kafka.common.security.scram.ScramLoginModule required"
                f' username="{self.username}" password="{escaped}";',
            }
        if self.ca_file:
            options |= {"kafka.ssl.truststore.type": "PEM", "kafka.ssl.truststore.location": str(self.ca_file)}
        return options


class CassandraSettings(BaseSettings):
    """The Cassandra keyspace that holds the dashboard's query tables."""

    model_config = SettingsConfigDict(env_prefix="INSIGHTS_CASSANDRA_", frozen=True)

    hosts: str = "127.0.0.1"
    """Contact points, separated by commas."""
    port: int = 9042
    keyspace: str = "insights"
    local_dc: str = "datacenter1"
    replication: str = "{'class': 'SimpleStrategy', 'replication_factor': 1}"
    """The replication map, in CQL, of a keyspace that the migrations create."""
    username: str | None = None
    password: SecretStr = SecretStr("")
    ca_file: Path | None = None
    consistency: str = "LOCAL_QUORUM"

    @property
    def contact_points(self) -> list[str]:
        """`hosts` as a list."""
        return [host.strip() for host in self.hosts.split(",") if host.strip()]


@dataclass(frozen=True, slots=True)
class StoreSettings:
    """The settings of the three stores."""

    postgres: PostgresSettings
    kafka: KafkaSettings
    cassandra: CassandraSettings


class SourceSettings(BaseSettings):
    """The Random User API, or a simulator of it."""

    model_config = SettingsConfigDict(env_prefix="INSIGHTS_SOURCE_", frozen=True)

    url: AnyHttpUrl = AnyHttpUrl("http://127.0.0.1:8084/api/1.4/")
    page_size: int = Field(1000, ge=1, le=5000)
    """Rows per request; the API answers a request for more than 5,000 with a single row."""
    nationalities: str = ""
    """Separated by commas; all when empty."""
    gender: str = ""
    include: str = ""
    exclude: str = ""
    timeout_seconds: float = 30
    """Timeout of each attempt, to connect and between bytes received."""
    deadline_seconds: float = 180
    """Time limit of one page, including all attempts and pauses."""
    max_attempts: int = 6
    max_bytes: int = 64 * 1024 * 1024
    """Size limit of one response body, after decompression."""


class StagingSettings(BaseSettings):
    """The raw staging tables."""

    model_config = SettingsConfigDict(env_prefix="INSIGHTS_STAGING_", frozen=True)

    retention_days: int = Field(14, ge=1)
    """How long published daily partitions are kept."""


class PublisherSettings(BaseSettings):
    """The publisher, which sends staged rows to Kafka."""

    model_config = SettingsConfigDict(env_prefix="INSIGHTS_PUBLISHER_", frozen=True)

    batch_rows: int = Field(5000, ge=1)
    poll_seconds: float = 5
    """Polling interval for when no notification arrives."""
    flush_seconds: float = 60
    """Timeout for the broker to acknowledge a batch."""
    http_host: str = "127.0.0.1"
    http_port: int = 8085
    """Port of `/healthz`, `/readyz` and `/metrics`."""


class StreamSettings(BaseSettings):
    """The Spark streaming job."""

    model_config = SettingsConfigDict(env_prefix="INSIGHTS_STREAM_", frozen=True)

    checkpoint: str = ".insights/checkpoint"
    master: str | None = None
    """The Spark master of a run outside `spark-submit`; unset under the Spark operator."""
    trigger_seconds: float = 1
    max_offsets_per_trigger: int = 20_000
    jars: str = ""
    """Connector jars, separated by commas, for a run outside an image that contains them."""
    driver_memory: str = "768m"
    shuffle_partitions: int = 2
    cassandra_in_flight: int = 32
    """Maximum number of batches that one writer keeps in flight."""
    cassandra_batch_rows: int = 30
    http_host: str = "127.0.0.1"
    http_port: int = 8086
    """Port of `/healthz`, `/readyz` and `/metrics`."""


class DashboardSettings(BaseSettings):
    """The dashboard, and who has access to it.

    Raises:
        UserError: a setting that the chosen `auth` requires is missing or too short.
    """

    model_config = SettingsConfigDict(env_prefix="INSIGHTS_DASHBOARD_", frozen=True)

    cache_seconds: float = 3
    """How long a query result is cached."""
    auth: Literal["none", "oidc", "proxy"] = "none"
    """What authenticates visitors: nothing, an OpenID Connect provider, or a proxy in front of the dashboard."""
    allow_anonymous: bool = False
    """With `auth` none, serve the pages also on an address that other machines can reach."""
    viewers: str = ""
    """Who may view the pages: names, e-mail addresses, `@domain`, or `*` for every logged-in visitor; separated by
    commas."""
    operators: str = ""
    """Which viewers may also change data, in the same format; `*` for every viewer."""
    session_hours: Annotated[float, Field(gt=0)] = 12
    """Lifetime of a login through the OpenID Connect provider."""
    proxy_user_header: str = "X-Auth-Request-Email"
    """The request header in which the proxy names the visitor."""
    proxy_secret: SecretStr = SecretStr("")
    """The value of `X-Insights-Proxy-Secret` that authenticates the proxy."""

    @model_validator(mode="after")
    def _check_access(self) -> Self:
        if self.auth != "none" and not self.viewers.strip(", "):
            raise UserError(
                f"INSIGHTS_DASHBOARD_VIEWERS is empty but INSIGHTS_DASHBOARD_AUTH is {self.auth}: "
                "name who may view the pages, or set it to * for every logged-in visitor."
            )
        length = len(self.proxy_secret.get_secret_value())
        if self.auth == "proxy" and length < _MIN_SECRET_CHARACTERS:
            raise UserError(
                f"INSIGHTS_DASHBOARD_PROXY_SECRET has {length} characters but INSIGHTS_DASHBOARD_AUTH is proxy: "
                f"set it to at least {_MIN_SECRET_CHARACTERS} random characters that only the proxy knows."
            )
        return self


class AirflowSettings(BaseSettings):
    """The Airflow API that the dashboard uses."""

    model_config = SettingsConfigDict(env_prefix="INSIGHTS_AIRFLOW_", frozen=True)

    url: str = Field(default="", pattern=r"^(https?://\S+)?$")
    """Base URL of the API server; empty if the dashboard has no Airflow."""
    username: str = "dashboard"
    password: SecretStr = SecretStr("")
    timeout_seconds: float = Field(default=10, gt=0)
    """Timeout to connect and between bytes received."""


class AccessSettings(BaseSettings):
    """The roles whose privileges the migrations set, by user; `insights.migrations.privileges` declares the users."""

    model_config = SettingsConfigDict(env_prefix="INSIGHTS_ACCESS_", frozen=True, validate_default=False)

    postgres: Annotated[Json[dict[str, str]], NoDecode] = {}
    """PostgreSQL role of each user, as a JSON object; no privileges are set when it is empty."""
    cassandra: Annotated[Json[dict[str, str]], NoDecode] = {}
    """Cassandra role of each user, as a JSON object; roles that do not exist are created."""
    passwords: Path | None = None
    """Directory with a file `<user>/password` for each Cassandra role."""


Port = Annotated[int, Field(ge=1024, le=65535)]


class LocalSettings(BaseSettings):
    """The one-machine runner: the directories of its state and downloads, and the port of each server."""

    model_config = SettingsConfigDict(env_prefix="INSIGHTS_", frozen=True, populate_by_name=True)

    home: Path = Path(".insights")
    cache: Path = Path("~/.cache/insights")
    java_home: Path | None = Field(None, validation_alias="JAVA_HOME")
    source_url: str = ""
    """The API to fetch from; the simulator when empty."""
    patience_seconds: float = Field(600, ge=10, le=86_400)
    """How long a step of a start, or a component that was restarted, may take until it counts as failed."""
    airflow_port: Port = 8080
    dashboard_port: Port = 8501
    simulator_port: Port = 8084
    publisher_http_port: Port = 8085
    stream_http_port: Port = 8086
    postgres_port: Port = 5432
    kafka_port: Port = 9092
    kafka_controller_port: Port = 9093
    cassandra_port: Port = 9042
    cassandra_storage_port: Port = 7000

    @property
    def jars(self) -> Path:
        """The directory of downloaded jars."""
        return self.cache.expanduser() / "jars"


_UNRELATED_PREFIXES = ("AIRFLOW", "SPARK_", "PYSPARK_", "PYTHON", "STREAMLIT_", "JDK_JAVA_OPTIONS", "PG")


def read_inherited_environment() -> dict[str, str]:
    """The environment of child processes, without variables that configure other installations of the same servers."""
    return {name: value for name, value in os.environ.items() if not name.startswith(_UNRELATED_PREFIXES)}


def read_crash_at() -> str:
    """The window of `insights.failpoints` in which a test kills this process; empty outside tests."""
    return os.environ.get("CRASH_AT", "")


def adopt_environment(variables: dict[str, str]) -> None:
    """Set the `INSIGHTS_*` variables of a running platform that are not set already."""
    for name, value in variables.items():
        if name.startswith("INSIGHTS_"):
            os.environ.setdefault(name, value)


def to_environment(*groups: BaseSettings) -> dict[str, str]:
    """The variables that give another process the same settings, for every field whose value was set explicitly."""
    variables = {}
    for group in groups:
        for name in sorted(group.model_fields_set):
            value = getattr(group, name)
            text = value.get_secret_value() if isinstance(value, SecretStr) else value
            if text is not None:
                variables[f"{group.model_config['env_prefix']}{name.upper()}"] = str(text)
    return variables


Settings = TypeVar("Settings", bound=BaseSettings)


def load(settings: type[Settings]) -> Settings:
    """Read one group of settings.

    Raises:
        UserError: a variable has an invalid value; the message names the variable.
    """
    try:
        return settings()
    except ValidationError as error:
        prefix = settings.model_config.get("env_prefix", "")
        first = error.errors()[0]
        name = prefix + "_".join(str(part) for part in first["loc"]).upper()
        raise UserError(f"{name} is {first['input']!r}: {first['msg']}; set it to a valid value.") from None
