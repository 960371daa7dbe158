"""Every setting of the platform, from `INSIGHTS_*` environment variables. No other module reads the environment."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import AnyHttpUrl, Field, Json, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from insights.errors import UserError

SECRET_CHARACTERS = 16
"""Fewest of a secret that stands between visitors and the pages."""


class PostgresSettings(BaseSettings):
    """The database that holds staging, quarantine and analytics."""

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
        """Keyword arguments of `psycopg2.connect`; `application` names us in `pg_stat_activity`."""
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
    """The broker and the platform's two topics."""

    model_config = SettingsConfigDict(env_prefix="INSIGHTS_KAFKA_", frozen=True)

    bootstrap_servers: str = "127.0.0.1:9092"
    raw_topic: str = "users.raw"
    quarantine_topic: str = "users.quarantine"
    partitions: int = 2
    replication_factor: int = 1
    max_message_bytes: int = 1_048_588
    """The topics' `max.message.bytes`; Kafka's own default."""
    security_protocol: str = "PLAINTEXT"
    sasl_mechanism: str = "SCRAM-SHA-512"
    username: str | None = None
    password: SecretStr = SecretStr("")
    ca_file: Path | None = None

    def client(self) -> dict[str, Any]:
        """Connection properties for librdkafka clients."""
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
        """The same properties as options of Spark's Kafka source."""
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
    """The keyspace that the dashboard reads."""

    model_config = SettingsConfigDict(env_prefix="INSIGHTS_CASSANDRA_", frozen=True)

    hosts: str = "127.0.0.1"
    """Contact points, separated by commas."""
    port: int = 9042
    keyspace: str = "insights"
    local_dc: str = "datacenter1"
    replication: str = "{'class': 'SimpleStrategy', 'replication_factor': 1}"
    """The keyspace's replication map in CQL, used when a migration creates it."""
    username: str | None = None
    password: SecretStr = SecretStr("")
    ca_file: Path | None = None
    consistency: str = "LOCAL_QUORUM"

    @property
    def contact_points(self) -> list[str]:
        return [host.strip() for host in self.hosts.split(",") if host.strip()]


@dataclass(frozen=True, slots=True)
class StoreSettings:
    """The settings of the three servers that hold records."""

    postgres: PostgresSettings
    kafka: KafkaSettings
    cassandra: CassandraSettings


class SourceSettings(BaseSettings):
    """The Random User API, or a simulator of it."""

    model_config = SettingsConfigDict(env_prefix="INSIGHTS_SOURCE_", frozen=True)

    url: AnyHttpUrl = AnyHttpUrl("http://127.0.0.1:8084/api/1.4/")
    page_size: int = Field(5000, ge=1, le=5000)
    """Rows per request; asked for more than 5,000 the API answers with one."""
    nationalities: str = ""
    """Comma-separated, empty for all."""
    gender: str = ""
    include: str = ""
    exclude: str = ""
    timeout_seconds: float = 30
    """Of one attempt's connection and of each wait for data."""
    deadline_seconds: float = 180
    """Of one page, all attempts and pauses together."""
    max_attempts: int = 6
    max_bytes: int = 64 * 1024 * 1024
    """Of one answer, after decompression."""


class StagingSettings(BaseSettings):
    """The raw staging tables."""

    model_config = SettingsConfigDict(env_prefix="INSIGHTS_STAGING_", frozen=True)

    retention_days: int = Field(14, ge=1)
    """Published daily partitions older than this are dropped."""


class PublisherSettings(BaseSettings):
    """The publisher from staging to Kafka."""

    model_config = SettingsConfigDict(env_prefix="INSIGHTS_PUBLISHER_", frozen=True)

    batch_rows: int = Field(5000, ge=1)
    poll_seconds: float = 5
    """Fallback when no notification arrives."""
    flush_seconds: float = 60
    """Longest wait for the broker to acknowledge a batch."""
    http_host: str = "127.0.0.1"
    http_port: int = 8085
    """Of `/healthz`, `/readyz` and `/metrics`."""


class StreamSettings(BaseSettings):
    """The Spark streaming job."""

    model_config = SettingsConfigDict(env_prefix="INSIGHTS_STREAM_", frozen=True)

    checkpoint: str = ".insights/checkpoint"
    master: str | None = None
    """A Spark master for a run outside `spark-submit`; none under the Spark operator."""
    trigger_seconds: float = 1
    max_offsets_per_trigger: int = 20_000
    jars: str = ""
    """Comma-separated connector jars for a run outside an image that has them."""
    driver_memory: str = "768m"
    shuffle_partitions: int = 2
    cassandra_in_flight: int = 32
    """Batches that one writer keeps in flight."""
    cassandra_batch_rows: int = 30
    http_host: str = "127.0.0.1"
    http_port: int = 8086
    """Of `/healthz`, `/readyz` and `/metrics`."""


class DashboardSettings(BaseSettings):
    """The pages, and who may see them.

    Raises:
        UserError: who may see the pages contradicts how visitors log in.
    """

    model_config = SettingsConfigDict(env_prefix="INSIGHTS_DASHBOARD_", frozen=True)

    cache_seconds: float = 3
    """How long an answer of a store is shown before it is read again."""
    auth: Literal["none", "oidc", "proxy"] = "none"
    """Who says who a visitor is: nobody, an OpenID Connect provider, or a proxy in front of the pages."""
    allow_anonymous: bool = False
    """Without a login, show the pages also on an address that other machines reach."""
    viewers: str = ""
    """Who may see the pages: names, e-mails, `@domain`, or `*` for everyone who is logged in; separated by commas."""
    operators: str = ""
    """Who of them may also act on the data, written likewise; `*` is everyone who sees the pages."""
    session_hours: Annotated[float, Field(gt=0)] = 12
    """How long a login of the OpenID Connect provider lasts."""
    proxy_user_header: str = "X-Auth-Request-Email"
    """Header in which the proxy names the visitor."""
    proxy_secret: SecretStr = SecretStr("")
    """What the proxy sends in `X-Insights-Proxy-Secret`, so that nobody else can name a visitor."""

    @model_validator(mode="after")
    def _visitors_can_be_told(self) -> Self:
        if self.auth != "none" and not self.viewers.strip(", "):
            raise UserError(
                f"INSIGHTS_DASHBOARD_VIEWERS is empty but INSIGHTS_DASHBOARD_AUTH is {self.auth}: "
                "name who may see the pages, or set it to * for everyone who is logged in."
            )
        length = len(self.proxy_secret.get_secret_value())
        if self.auth == "proxy" and length < SECRET_CHARACTERS:
            raise UserError(
                f"INSIGHTS_DASHBOARD_PROXY_SECRET has {length} characters but INSIGHTS_DASHBOARD_AUTH is proxy: "
                f"set it to at least {SECRET_CHARACTERS} random ones that only the proxy knows."
            )
        return self


class AirflowSettings(BaseSettings):
    """Airflow's API, as the dashboard uses it."""

    model_config = SettingsConfigDict(env_prefix="INSIGHTS_AIRFLOW_", frozen=True)

    url: str = Field(default="", pattern=r"^(https?://\S+)?$")
    """Of the API server; empty where the dashboard does not know Airflow."""
    username: str = "dashboard"
    password: SecretStr = SecretStr("")
    timeout_seconds: float = Field(default=10, gt=0)
    """Of a connection and of each wait for data."""


class AccessSettings(BaseSettings):
    """Whose privileges a migration sets: a role of the store for each user that `insights.access` declares."""

    model_config = SettingsConfigDict(env_prefix="INSIGHTS_ACCESS_", frozen=True, validate_default=False)

    postgres: Annotated[Json[dict[str, str]], NoDecode] = {}
    """Role by user, as a JSON object; none are set when empty."""
    cassandra: Annotated[Json[dict[str, str]], NoDecode] = {}
    """Role by user, as a JSON object; created where absent."""
    passwords: Path | None = None
    """Folder of `<user>/password` files, one for each of Cassandra's roles."""


Port = Annotated[int, Field(ge=1024, le=65535)]


class LocalSettings(BaseSettings):
    """The one-machine runner: where it keeps state and downloads, and the port of each server."""

    model_config = SettingsConfigDict(env_prefix="INSIGHTS_", frozen=True, populate_by_name=True)

    home: Path = Path(".insights")
    cache: Path = Path("~/.cache/insights")
    java_home: Path | None = Field(None, validation_alias="JAVA_HOME")
    source_url: str = ""
    """Another API to fetch from; empty for the simulator."""
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
        return self.cache.expanduser() / "jars"


_OTHER_CONFIGURATION = ("AIRFLOW", "SPARK_", "PYSPARK_", "PYTHON", "STREAMLIT_", "JDK_JAVA_OPTIONS", "PG")


def read_inherited_environment() -> dict[str, str]:
    """The environment that child processes start from: without what configures other installations of our servers."""
    return {name: value for name, value in os.environ.items() if not name.startswith(_OTHER_CONFIGURATION)}


def adopt_environment(variables: dict[str, str]) -> None:
    """Give the `INSIGHTS_*` variables that are not set the values of a running platform."""
    for name, value in variables.items():
        if name.startswith("INSIGHTS_"):
            os.environ.setdefault(name, value)


def to_environment(*groups: BaseSettings) -> dict[str, str]:
    """The variables from which another process reads these settings: of every field that was given a value."""
    given = {}
    for group in groups:
        for name in sorted(group.model_fields_set):
            value = getattr(group, name)
            text = value.get_secret_value() if isinstance(value, SecretStr) else value
            if text is not None:
                given[f"{group.model_config['env_prefix']}{name.upper()}"] = str(text)
    return given


Settings = TypeVar("Settings", bound=BaseSettings)


def load(settings: type[Settings]) -> Settings:
    """Read one group of settings.

    Raises:
        UserError: a variable has a value that the setting cannot take; names the variable.
    """
    try:
        return settings()
    except ValidationError as error:
        prefix = settings.model_config.get("env_prefix", "")
        first = error.errors()[0]
        name = prefix + "_".join(str(part) for part in first["loc"]).upper()
        raise UserError(f"{name} is {first['input']!r}: {first['msg']}; set it to a valid value.") from None
