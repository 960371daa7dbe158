"""Every setting of the platform, read from `INSIGHTS_*` environment variables, and from standard ones."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import AnyHttpUrl, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from insights import setting_types as kinds
from insights.errors import UserError

_MIN_SECRET_CHARACTERS = 16
"""Minimum length of the secret that a proxy authenticates itself with."""


class PostgresSettings(BaseSettings):
    """The PostgreSQL database that holds staging, quarantine and analytics."""

    model_config = SettingsConfigDict(env_prefix="INSIGHTS_POSTGRES_", frozen=True)

    host: kinds.Word = "127.0.0.1"
    port: kinds.Port = 5432
    dbname: kinds.Text = "insights"
    user: kinds.Text = "insights"
    password: SecretStr = SecretStr("")
    sslmode: Annotated[Literal["disable", "allow", "prefer", "require", "verify-ca", "verify-full"], kinds.LOWER] = (
        "prefer"
    )
    sslrootcert: kinds.OptionalPath = None
    connect_timeout_seconds: int = Field(default=10, ge=2, le=300)
    """libpq treats less than 2 seconds as 2."""

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
    """The Kafka brokers and the platform's two topics.

    Raises:
        UserError: the topics are the same, or the login does not fit the security protocol.
    """

    model_config = SettingsConfigDict(env_prefix="INSIGHTS_KAFKA_", frozen=True)

    bootstrap_servers: kinds.Servers = "127.0.0.1:9092"
    raw_topic: kinds.Topic = "users.raw"
    quarantine_topic: kinds.Topic = "users.quarantine"
    partitions: int = Field(default=2, ge=1, le=10_000)
    replication_factor: int = Field(default=1, ge=1, le=100)
    max_message_bytes: int = Field(default=1_048_588, ge=1000, le=100_000_000)
    """`max.message.bytes` of both topics; the default is Kafka's own."""
    security_protocol: Annotated[Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"], kinds.UPPER] = "PLAINTEXT"
    sasl_mechanism: Annotated[Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"], kinds.UPPER] = "SCRAM-SHA-512"
    username: kinds.OptionalText = None
    password: SecretStr = SecretStr("")
    ca_file: kinds.OptionalPath = None

    @model_validator(mode="after")
    def _check_combination(self) -> Self:
        protocol, has_login = self.security_protocol, bool(self.username and self.password.get_secret_value())
        if self.raw_topic == self.quarantine_topic:
            raise UserError(
                f"INSIGHTS_KAFKA_QUARANTINE_TOPIC is {self.quarantine_topic!r}, as is INSIGHTS_KAFKA_RAW_TOPIC:"
                " set one of them to another topic."
            )
        if protocol.startswith("SASL_") and not has_login:
            raise UserError(
                f"INSIGHTS_KAFKA_SECURITY_PROTOCOL is {protocol!r} without a login: set INSIGHTS_KAFKA_USERNAME and"
                " INSIGHTS_KAFKA_PASSWORD, or set it to PLAINTEXT or SSL."
            )
        if self.username and not protocol.startswith("SASL_"):
            raise UserError(
                f"INSIGHTS_KAFKA_USERNAME is {self.username!r} but INSIGHTS_KAFKA_SECURITY_PROTOCOL is {protocol!r},"
                " which has no login: set that to SASL_SSL or SASL_PLAINTEXT, or unset the user name."
            )
        return self

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
            module = "plain.PlainLoginModule" if self.sasl_mechanism == "PLAIN" else "scram.ScramLoginModule"
            options |= {
                "kafka.sasl.mechanism": self.sasl_mechanism,
                "kafka.sasl.jaas.config": f"org.apache.kafka.common.security.{module} required"
                f' username="{self.username}" password="{escaped}";',
            }
        if self.ca_file:
            options |= {"kafka.ssl.truststore.type": "PEM", "kafka.ssl.truststore.location": str(self.ca_file)}
        return options


class CassandraSettings(BaseSettings):
    """The Cassandra keyspace that holds the dashboard's query tables."""

    model_config = SettingsConfigDict(env_prefix="INSIGHTS_CASSANDRA_", frozen=True)

    hosts: kinds.Hosts = "127.0.0.1"
    """Contact points, separated by commas."""
    port: kinds.Port = 9042
    keyspace: kinds.Keyspace = "insights"
    local_dc: kinds.Text = "datacenter1"
    replication: kinds.CqlMap = "{'class': 'SimpleStrategy', 'replication_factor': 1}"
    """The replication map, in CQL, of a keyspace that the migrations create."""
    username: kinds.OptionalText = None
    password: SecretStr = SecretStr("")
    ca_file: kinds.OptionalPath = None
    """Authorities of the nodes' certificates, in PEM; without it, connections do not use TLS."""
    server_name: kinds.OptionalText = None
    """Host name that the certificate of every node contains; by default, the name that `hosts` gives to the node, or
    else its address."""
    consistency: Annotated[
        Literal["ONE", "TWO", "THREE", "QUORUM", "ALL", "LOCAL_QUORUM", "EACH_QUORUM", "LOCAL_ONE"], kinds.UPPER
    ] = "LOCAL_QUORUM"

    @model_validator(mode="after")
    def _check_login(self) -> Self:
        if self.username and not self.password.get_secret_value():
            raise UserError(
                f"INSIGHTS_CASSANDRA_USERNAME is {self.username!r} without a password:"
                " set INSIGHTS_CASSANDRA_PASSWORD, or unset the user name."
            )
        return self

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
    headers: kinds.Headers = SecretStr("")
    """Request headers, such as one with a key of the API."""
    page_size: int = Field(default=1000, ge=1, le=5000)
    """Rows per request; the API answers a request for more than 5,000 with a single row."""
    nationalities: kinds.Nationalities = ""
    """Separated by commas; all when empty."""
    gender: Annotated[Literal["", "female", "male"], kinds.LOWER] = ""
    include: kinds.FieldNames = ""
    exclude: kinds.FieldNames = ""
    timeout_seconds: float = Field(default=30, gt=0, le=3600)
    """Timeout of each attempt, to connect and between bytes received."""
    deadline_seconds: float = Field(default=180, gt=0, le=86_400)
    """Time limit of one page, including all attempts and pauses."""
    max_attempts: int = Field(default=6, ge=1, le=1000)
    max_bytes: int = Field(default=64 * 1024 * 1024, ge=1000, le=1024**3)
    """Size limit of one response body, after decompression."""

    def read_headers(self) -> dict[str, str]:
        """`headers` by name."""
        return kinds.parse_headers(self.headers.get_secret_value())


class StagingSettings(BaseSettings):
    """The raw staging tables."""

    model_config = SettingsConfigDict(env_prefix="INSIGHTS_STAGING_", frozen=True)

    retention_days: int = Field(default=14, ge=1, le=3650)
    """How long published daily partitions are kept."""


class PublisherSettings(BaseSettings):
    """The publisher, which sends staged rows to Kafka."""

    model_config = SettingsConfigDict(env_prefix="INSIGHTS_PUBLISHER_", frozen=True)

    batch_rows: int = Field(default=5000, ge=1, le=100_000)
    poll_seconds: float = Field(default=5, gt=0, le=60)
    """Polling interval for when no notification arrives; the liveness probe fails after two minutes without a poll."""
    flush_seconds: float = Field(default=60, ge=1, le=600)
    """Timeout for the broker to acknowledge a batch."""
    http_host: kinds.Word = "127.0.0.1"
    http_port: kinds.ListenPort = 8085
    """Port of `/healthz`, `/readyz` and `/metrics`."""


class ExporterSettings(BaseSettings):
    """The exporter, which measures the flow for Prometheus."""

    model_config = SettingsConfigDict(env_prefix="INSIGHTS_EXPORTER_", frozen=True)

    interval_seconds: float = Field(default=15, ge=1, le=60)
    """Time between two measurements; the liveness probe fails after two minutes without one."""
    http_host: kinds.Word = "127.0.0.1"
    http_port: kinds.ListenPort = 8087
    """Port of `/healthz`, `/readyz` and `/metrics`."""


class StreamSettings(BaseSettings):
    """The Spark streaming job."""

    model_config = SettingsConfigDict(env_prefix="INSIGHTS_STREAM_", frozen=True)

    checkpoint: kinds.Text = ".insights/checkpoint"
    master: kinds.OptionalText = None
    """The Spark master of a run outside `spark-submit`; unset under the Spark operator."""
    trigger_seconds: float = Field(default=0.5, ge=0, le=120)
    max_offsets_per_trigger: int = Field(default=40_000, ge=1, le=10_000_000)
    jars: str = ""
    """Connector jars, separated by commas, for a run outside an image that contains them."""
    driver_memory: kinds.Memory = "768m"
    shuffle_partitions: int = Field(default=2, ge=1, le=10_000)
    cassandra_in_flight: int = Field(default=32, ge=1, le=1024)
    """Maximum number of batches that one writer keeps in flight."""
    cassandra_batch_rows: int = Field(default=30, ge=1, le=1000)
    http_host: kinds.Word = "127.0.0.1"
    http_port: kinds.ListenPort = 8086
    """Port of `/healthz`, `/readyz` and `/metrics`."""


class DashboardSettings(BaseSettings):
    """The dashboard, and who has access to it.

    Raises:
        UserError: a setting that the chosen `auth` requires is missing or too short.
    """

    model_config = SettingsConfigDict(env_prefix="INSIGHTS_DASHBOARD_", frozen=True)

    cache_seconds: float = Field(default=3, ge=0, le=3600)
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
    session_hours: float = Field(default=12, gt=0, le=8760)
    """Lifetime of a login through the OpenID Connect provider."""
    proxy_user_header: kinds.HeaderName = "X-Auth-Request-Email"
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


class DashboardMetricsSettings(BaseSettings):
    """Where the dashboard serves its metrics: apart from the pages, whose address visitors reach."""

    model_config = SettingsConfigDict(env_prefix="INSIGHTS_DASHBOARD_METRICS_", frozen=True)

    host: kinds.Word = "127.0.0.1"
    port: kinds.ListenPort = 8088


class AirflowSettings(BaseSettings):
    """The Airflow API that the dashboard uses."""

    model_config = SettingsConfigDict(env_prefix="INSIGHTS_AIRFLOW_", frozen=True)

    url: kinds.HttpUrl = ""
    """Base URL of the API server; empty if the dashboard has no Airflow."""
    username: kinds.Text = "dashboard"
    password: SecretStr = SecretStr("")
    timeout_seconds: float = Field(default=10, gt=0, le=600)
    """Timeout to connect and between bytes received."""


class TelemetrySettings(BaseSettings):
    """Where spans are sent: the one standard variable of OpenTelemetry whose absence switches them off."""

    model_config = SettingsConfigDict(env_prefix="OTEL_EXPORTER_OTLP_", frozen=True)

    endpoint: kinds.HttpUrl = ""
    """Base URL of a collector that takes OTLP over HTTP; `/v1/traces` is appended to it."""


class AccessSettings(BaseSettings):
    """The roles whose privileges the migrations set, by user; `insights.migrations.privileges` declares the users."""

    model_config = SettingsConfigDict(env_prefix="INSIGHTS_ACCESS_", frozen=True, validate_default=False)

    postgres: kinds.Roles = {}
    """PostgreSQL role of each user, as a JSON object; no privileges are set when it is empty."""
    cassandra: kinds.Roles = {}
    """Cassandra role of each user, as a JSON object; roles that do not exist are created."""
    passwords: kinds.OptionalPath = None
    """Directory with a file `<user>/password` for each Cassandra role."""


class LocalSettings(BaseSettings):
    """The one-machine runner: the directories of its state and downloads, and the port of each server.

    Raises:
        UserError: two servers have the same port.
    """

    model_config = SettingsConfigDict(env_prefix="INSIGHTS_", frozen=True, populate_by_name=True)

    home: kinds.Folder = Path(".insights")
    cache: kinds.Folder = Path("~/.cache/insights")
    java_home: kinds.OptionalPath = Field(default=None, validation_alias="JAVA_HOME")
    source_url: kinds.HttpUrl = ""
    """The API to fetch from; the simulator when empty."""
    patience_seconds: float = Field(default=600, ge=10, le=86_400)
    """How long a step of a start, or a component that was restarted, may take until it counts as failed."""
    airflow_port: kinds.UnprivilegedPort = 8080
    dashboard_port: kinds.UnprivilegedPort = 8501
    dashboard_metrics_port: kinds.UnprivilegedPort = 8088
    simulator_port: kinds.UnprivilegedPort = 8084
    publisher_http_port: kinds.UnprivilegedPort = 8085
    stream_http_port: kinds.UnprivilegedPort = 8086
    exporter_http_port: kinds.UnprivilegedPort = 8087
    prometheus_port: kinds.UnprivilegedPort = 9090
    postgres_port: kinds.UnprivilegedPort = 5432
    kafka_port: kinds.UnprivilegedPort = 9092
    kafka_controller_port: kinds.UnprivilegedPort = 9093
    cassandra_port: kinds.UnprivilegedPort = 9042
    cassandra_storage_port: kinds.UnprivilegedPort = 7000

    @model_validator(mode="after")
    def _check_ports(self) -> Self:
        variables: dict[int, str] = {}
        for name in type(self).model_fields:
            if name.endswith("_port"):
                variable = f"INSIGHTS_{name.upper()}"
                first = variables.setdefault(getattr(self, name), variable)
                if first != variable:
                    raise UserError(f"{first} and {variable} are both {getattr(self, name)}: set one to another port.")
        return self

    @property
    def jars(self) -> Path:
        """The directory of downloaded jars."""
        return self.cache.expanduser() / "jars"


def list_overridden(variables: dict[str, str]) -> list[str]:
    """Which `INSIGHTS_*` variables have another value in the environment; those of `LocalSettings` never have."""
    local = {f"INSIGHTS_{name.upper()}" for name in LocalSettings.model_fields}
    return [
        name
        for name, value in variables.items()
        if name.startswith("INSIGHTS_") and name not in local and os.environ.get(name, value) != value
    ]


def to_environment(*groups: BaseSettings) -> dict[str, str]:
    """The variables that give another process the same settings, for every field whose value was set explicitly."""
    variables = {}
    for group in groups:
        for name in sorted(group.model_fields_set):
            value = getattr(group, name)
            text = value.get_secret_value() if isinstance(value, SecretStr) else value
            variables[f"{group.model_config['env_prefix']}{name.upper()}"] = "" if text is None else str(text)
    return variables


Settings = TypeVar("Settings", bound=BaseSettings)


def load(settings: type[Settings], **values: Any) -> Settings:
    """Read one group of settings; `values` take precedence over the environment.

    Raises:
        UserError: a variable has an invalid value; the message names the variable.
    """
    try:
        return settings(**values)
    except ValidationError as error:
        prefix = settings.model_config.get("env_prefix", "")
        first = error.errors()[0]
        name = str(first["loc"][0])
        field = settings.model_fields.get(name) or settings.model_fields["java_home"]
        variable = str(field.validation_alias or prefix + name.upper())
        value = kinds.describe_value(field, os.environ.get(variable, first["input"]))
        raise UserError(f"{variable} is {value}: {kinds.explain_remedy(field)}.") from None


def load_stores() -> StoreSettings:
    """Read the settings of the three stores.

    Raises:
        UserError: as for `load`.
    """
    return StoreSettings(load(PostgresSettings), load(KafkaSettings), load(CassandraSettings))
