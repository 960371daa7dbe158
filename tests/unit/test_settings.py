"""Settings are written to environment variables and read back, and an invalid one is one sentence."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from pydantic_settings import BaseSettings
from typer.testing import CliRunner

from insights import settings as module
from insights.cli import app
from insights.environment import adopt_environment
from insights.errors import UserError
from insights.settings import (
    AccessSettings,
    AirflowSettings,
    CassandraSettings,
    DashboardMetricsSettings,
    DashboardSettings,
    ExporterSettings,
    KafkaSettings,
    LocalSettings,
    PostgresSettings,
    PublisherSettings,
    SourceSettings,
    StagingSettings,
    StreamSettings,
    TelemetrySettings,
    list_overridden,
    load,
    to_environment,
)

LONG_TOPIC = "t" * 250
INVALID: dict[str, tuple[type[BaseSettings], list[str]]] = {
    "INSIGHTS_POSTGRES_HOST": (PostgresSettings, ["", "a b"]),
    "INSIGHTS_POSTGRES_PORT": (PostgresSettings, ["", "0", "65536", "many"]),
    "INSIGHTS_POSTGRES_DBNAME": (PostgresSettings, ["", " "]),
    "INSIGHTS_POSTGRES_USER": (PostgresSettings, ["", " "]),
    "INSIGHTS_POSTGRES_SSLMODE": (PostgresSettings, ["", "on"]),
    "INSIGHTS_POSTGRES_CONNECT_TIMEOUT_SECONDS": (PostgresSettings, ["", "1", "301", "soon"]),
    "INSIGHTS_KAFKA_BOOTSTRAP_SERVERS": (KafkaSettings, ["", "a:0", "a:65536", "a:b", "a:1,,b:2", "a b"]),
    "INSIGHTS_KAFKA_RAW_TOPIC": (KafkaSettings, ["", "users raw", LONG_TOPIC]),
    "INSIGHTS_KAFKA_QUARANTINE_TOPIC": (KafkaSettings, ["", "a/b", LONG_TOPIC]),
    "INSIGHTS_KAFKA_PARTITIONS": (KafkaSettings, ["", "0", "10001", "two"]),
    "INSIGHTS_KAFKA_REPLICATION_FACTOR": (KafkaSettings, ["", "0", "101", "1.5"]),
    "INSIGHTS_KAFKA_MAX_MESSAGE_BYTES": (KafkaSettings, ["", "999", "100000001", "1 MB"]),
    "INSIGHTS_KAFKA_SECURITY_PROTOCOL": (KafkaSettings, ["", "TLS"]),
    "INSIGHTS_KAFKA_SASL_MECHANISM": (KafkaSettings, ["", "GSSAPI"]),
    "INSIGHTS_CASSANDRA_HOSTS": (CassandraSettings, ["", ",", "a b"]),
    "INSIGHTS_CASSANDRA_PORT": (CassandraSettings, ["", "0", "65536", "cql"]),
    "INSIGHTS_CASSANDRA_KEYSPACE": (CassandraSettings, ["", "user-insights", "k" * 49]),
    "INSIGHTS_CASSANDRA_LOCAL_DC": (CassandraSettings, ["", " "]),
    "INSIGHTS_CASSANDRA_REPLICATION": (CassandraSettings, ["", "3"]),
    "INSIGHTS_CASSANDRA_CONSISTENCY": (CassandraSettings, ["", "MOST"]),
    "INSIGHTS_SOURCE_URL": (SourceSettings, ["", "randomuser.me/api"]),
    "INSIGHTS_SOURCE_PAGE_SIZE": (SourceSettings, ["", "0", "5001", "all"]),
    "INSIGHTS_SOURCE_NATIONALITIES": (SourceSettings, ["Germany", "DE;FR"]),
    "INSIGHTS_SOURCE_GENDER": (SourceSettings, ["x"]),
    "INSIGHTS_SOURCE_INCLUDE": (SourceSettings, ["name;login"]),
    "INSIGHTS_SOURCE_EXCLUDE": (SourceSettings, ["name/login"]),
    "INSIGHTS_SOURCE_TIMEOUT_SECONDS": (SourceSettings, ["", "0", "-1", "3601", "nan", "soon"]),
    "INSIGHTS_SOURCE_DEADLINE_SECONDS": (SourceSettings, ["", "0", "86401", "inf", "soon"]),
    "INSIGHTS_SOURCE_MAX_ATTEMPTS": (SourceSettings, ["", "0", "1001", "some"]),
    "INSIGHTS_SOURCE_MAX_BYTES": (SourceSettings, ["", "999", "1073741825", "64M"]),
    "INSIGHTS_STAGING_RETENTION_DAYS": (StagingSettings, ["", "0", "3651", "week"]),
    "INSIGHTS_PUBLISHER_BATCH_ROWS": (PublisherSettings, ["", "0", "100001", "many"]),
    "INSIGHTS_PUBLISHER_POLL_SECONDS": (PublisherSettings, ["", "0", "61", "soon"]),
    "INSIGHTS_PUBLISHER_FLUSH_SECONDS": (PublisherSettings, ["", "0.5", "601", "soon"]),
    "INSIGHTS_PUBLISHER_HTTP_HOST": (PublisherSettings, ["", "a b"]),
    "INSIGHTS_PUBLISHER_HTTP_PORT": (PublisherSettings, ["", "-1", "65536", "http"]),
    "INSIGHTS_EXPORTER_INTERVAL_SECONDS": (ExporterSettings, ["", "0", "61", "soon"]),
    "INSIGHTS_EXPORTER_HTTP_HOST": (ExporterSettings, ["", "a b"]),
    "INSIGHTS_EXPORTER_HTTP_PORT": (ExporterSettings, ["", "-1", "65536", "http"]),
    "INSIGHTS_STREAM_CHECKPOINT": (StreamSettings, ["", " "]),
    "INSIGHTS_STREAM_TRIGGER_SECONDS": (StreamSettings, ["", "-1", "121", "soon"]),
    "INSIGHTS_STREAM_MAX_OFFSETS_PER_TRIGGER": (StreamSettings, ["", "0", "10000001", "all"]),
    "INSIGHTS_STREAM_DRIVER_MEMORY": (StreamSettings, ["", "471m", "0g", "768", "1 TB"]),
    "INSIGHTS_STREAM_SHUFFLE_PARTITIONS": (StreamSettings, ["", "0", "10001", "two"]),
    "INSIGHTS_STREAM_CASSANDRA_IN_FLIGHT": (StreamSettings, ["", "0", "1025", "many"]),
    "INSIGHTS_STREAM_CASSANDRA_BATCH_ROWS": (StreamSettings, ["", "0", "1001", "many"]),
    "INSIGHTS_STREAM_HTTP_HOST": (StreamSettings, ["", "a b"]),
    "INSIGHTS_STREAM_HTTP_PORT": (StreamSettings, ["", "-1", "65536", "http"]),
    "INSIGHTS_DASHBOARD_CACHE_SECONDS": (DashboardSettings, ["", "-1", "3601", "soon"]),
    "INSIGHTS_DASHBOARD_AUTH": (DashboardSettings, ["", "ldap"]),
    "INSIGHTS_DASHBOARD_ALLOW_ANONYMOUS": (DashboardSettings, ["", "maybe"]),
    "INSIGHTS_DASHBOARD_SESSION_HOURS": (DashboardSettings, ["", "0", "8761", "day"]),
    "INSIGHTS_DASHBOARD_METRICS_HOST": (DashboardMetricsSettings, ["", "a b"]),
    "INSIGHTS_DASHBOARD_METRICS_PORT": (DashboardMetricsSettings, ["", "-1", "65536", "http"]),
    "INSIGHTS_DASHBOARD_PROXY_USER_HEADER": (DashboardSettings, ["", "X User"]),
    "INSIGHTS_AIRFLOW_URL": (AirflowSettings, ["airflow:8080"]),
    "INSIGHTS_AIRFLOW_USERNAME": (AirflowSettings, ["", " "]),
    "INSIGHTS_AIRFLOW_TIMEOUT_SECONDS": (AirflowSettings, ["", "0", "601", "soon"]),
    "OTEL_EXPORTER_OTLP_ENDPOINT": (TelemetrySettings, ["collector:4318", "grpc://collector:4317"]),
    "INSIGHTS_ACCESS_POSTGRES": (AccessSettings, ["", "stream", '["a"]', '{"stream": 1}']),
    "INSIGHTS_ACCESS_CASSANDRA": (AccessSettings, ["", "stream", '["a"]', '{"stream": 1}']),
    "INSIGHTS_HOME": (LocalSettings, ["", " "]),
    "INSIGHTS_CACHE": (LocalSettings, ["", " "]),
    "INSIGHTS_SOURCE_URL (one machine)": (LocalSettings, ["randomuser.me/api"]),
    "INSIGHTS_PATIENCE_SECONDS": (LocalSettings, ["", "9", "86401", "long"]),
    **{
        f"INSIGHTS_{name.upper()} (one machine)": (LocalSettings, ["", "1023", "65536", "http"])
        for name in LocalSettings.model_fields
        if name.endswith("_port")
    },
}
ANY_VALUE = {
    *("INSIGHTS_POSTGRES_PASSWORD", "INSIGHTS_KAFKA_PASSWORD", "INSIGHTS_CASSANDRA_PASSWORD"),
    *("INSIGHTS_DASHBOARD_PROXY_SECRET", "INSIGHTS_AIRFLOW_PASSWORD", "INSIGHTS_SOURCE_HEADERS"),
    *("INSIGHTS_DASHBOARD_VIEWERS", "INSIGHTS_DASHBOARD_OPERATORS"),
    "INSIGHTS_STREAM_JARS",
}
"""Text of any kind, which only what uses it can judge."""
UNSET_IF_BLANK = {
    *("INSIGHTS_POSTGRES_SSLROOTCERT", "INSIGHTS_KAFKA_CA_FILE", "INSIGHTS_CASSANDRA_CA_FILE"),
    *("INSIGHTS_KAFKA_USERNAME", "INSIGHTS_CASSANDRA_USERNAME", "INSIGHTS_STREAM_MASTER"),
    *("INSIGHTS_ACCESS_PASSWORDS", "JAVA_HOME", "INSIGHTS_CASSANDRA_SERVER_NAME"),
}
LOCAL = " (one machine)"


def list_groups() -> list[type[BaseSettings]]:
    return [
        kind
        for kind in vars(module).values()
        if isinstance(kind, type) and issubclass(kind, BaseSettings) and kind is not BaseSettings
    ]


def list_variables() -> Iterator[tuple[str, type[BaseSettings], str]]:
    """Every variable, its group and its field."""
    for group in list_groups():
        for name, field in group.model_fields.items():
            yield str(field.validation_alias or group.model_config["env_prefix"] + name.upper()), group, name


@pytest.fixture(autouse=True)
def empty_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable, _, _ in list_variables():
        monkeypatch.delenv(variable, raising=False)


def test_a_setting_that_is_no_url_is_named_without_what_may_be_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    for url in (
        "someone:c4nary@a.example/?page=1",
        "http://someone:c4/nary@a.example:x/?key=c4nary",
        "a.example?c4nary",
    ):
        monkeypatch.setenv("INSIGHTS_SOURCE_URL", url)
        groups: list[type[BaseSettings]] = [SourceSettings] if "//" in url else [SourceSettings, LocalSettings]
        for group in groups:
            with pytest.raises(UserError, match=r"INSIGHTS_SOURCE_URL is 'a\.example") as caught:
                load(group)
            assert "c4" not in str(caught.value)


def test_headers_are_read_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INSIGHTS_SOURCE_HEADERS", "\nX-Api-Key:abc\r\n Authorization: Basic a:b==  \n")
    settings = load(SourceSettings)
    assert settings.read_headers() == {"X-Api-Key": "abc", "Authorization": "Basic a:b=="}
    assert "abc" not in repr(settings)


@pytest.mark.parametrize(
    "line", ["c4nary", "X Key: c4nary", "X-Key:", ": c4nary", "X-Key: c4nary\u00e9", "X-Key: c4\x00nary"]
)
def test_a_line_that_is_no_header_is_not_quoted(line: str) -> None:
    with pytest.raises(
        UserError, match="INSIGHTS_SOURCE_HEADERS is invalid: set it to headers: `Name: value`"
    ) as caught:
        load(SourceSettings, headers=f"A: b\n{line}")
    assert "c4" not in str(caught.value)


def test_another_process_reads_the_same_settings_from_their_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    postgres = PostgresSettings(host="::1", port=15432, password=SecretStr("p w"), sslrootcert=Path("/ca.pem"))
    kafka = KafkaSettings(bootstrap_servers="a:1,b:2", username=None, ca_file=None)
    stream = StreamSettings(trigger_seconds=0.2)
    variables = to_environment(postgres, kafka, stream)
    assert variables == {
        "INSIGHTS_POSTGRES_HOST": "::1",
        "INSIGHTS_POSTGRES_PORT": "15432",
        "INSIGHTS_POSTGRES_PASSWORD": "p w",
        "INSIGHTS_POSTGRES_SSLROOTCERT": "/ca.pem",
        "INSIGHTS_KAFKA_BOOTSTRAP_SERVERS": "a:1,b:2",
        "INSIGHTS_KAFKA_USERNAME": "",
        "INSIGHTS_KAFKA_CA_FILE": "",
        "INSIGHTS_STREAM_TRIGGER_SECONDS": "0.2",
    }
    monkeypatch.setenv("INSIGHTS_KAFKA_USERNAME", "left over")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert (load(PostgresSettings), load(KafkaSettings), load(StreamSettings)) == (postgres, kafka, stream)


def test_every_variable_has_invalid_values_or_takes_any() -> None:
    tested = {(variable.removesuffix(LOCAL), group) for variable, (group, _) in INVALID.items()}
    every = {(variable, group) for variable, group, _ in list_variables() if variable not in ANY_VALUE | UNSET_IF_BLANK}
    assert tested == every


@pytest.mark.parametrize(
    ("variable", "value"), [(variable, value) for variable, (_, values) in INVALID.items() for value in values]
)
def test_an_invalid_value_is_one_sentence_that_names_variable_value_and_remedy(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    group, _ = INVALID[variable]
    variable = variable.removesuffix(LOCAL)
    monkeypatch.setenv(variable, value)
    with pytest.raises(UserError) as raised:
        load(group)
    sentence = str(raised.value)
    assert sentence.startswith(f"{variable} is {value!r}: set it to ")
    assert sentence.endswith(".")
    assert "\n" not in sentence
    assert "valid value" not in sentence


@pytest.mark.parametrize("variable", sorted(UNSET_IF_BLANK))
def test_a_blank_value_of_an_optional_setting_is_none(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    monkeypatch.setenv(variable, " ")
    [(group, name)] = [(group, name) for other, group, name in list_variables() if other == variable]
    assert getattr(load(group), name) is None


def test_the_remedy_names_the_range_and_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INSIGHTS_STREAM_CASSANDRA_IN_FLIGHT", "0")
    with pytest.raises(UserError, match="set it to a whole number from 1 to 1,024, or unset it for 32"):
        load(StreamSettings)
    monkeypatch.setenv("INSIGHTS_DASHBOARD_SESSION_HOURS", "0")
    with pytest.raises(UserError, match="set it to a number above 0 to 8,760, or unset it for 12"):
        load(DashboardSettings)
    monkeypatch.setenv("INSIGHTS_POSTGRES_SSLMODE", "on")
    with pytest.raises(UserError, match="set it to one of disable, allow, prefer, require, verify-ca, verify-full"):
        load(PostgresSettings)


COMBINATIONS: list[tuple[type[BaseSettings], dict[str, str], str]] = [
    (
        KafkaSettings,
        {"SECURITY_PROTOCOL": "SASL_SSL"},
        "INSIGHTS_KAFKA_SECURITY_PROTOCOL is 'SASL_SSL' without a login",
    ),
    (KafkaSettings, {"SECURITY_PROTOCOL": "SASL_SSL", "USERNAME": "u"}, "set INSIGHTS_KAFKA_USERNAME and"),
    (
        KafkaSettings,
        {"USERNAME": "u", "PASSWORD": "p"},
        "INSIGHTS_KAFKA_USERNAME is 'u' but INSIGHTS_KAFKA_SECURITY_PR",
    ),
    (KafkaSettings, {"RAW_TOPIC": "users.quarantine"}, "as is INSIGHTS_KAFKA_RAW_TOPIC: set one of them to another"),
    (CassandraSettings, {"USERNAME": "u"}, "INSIGHTS_CASSANDRA_USERNAME is 'u' without a password: set INSIGHTS_CASS"),
    (DashboardSettings, {"AUTH": "oidc"}, "INSIGHTS_DASHBOARD_VIEWERS is empty but INSIGHTS_DASHBOARD_AUTH is oidc"),
    (DashboardSettings, {"AUTH": "proxy", "VIEWERS": "*"}, "INSIGHTS_DASHBOARD_PROXY_SECRET has 0 characters"),
    (LocalSettings, {"KAFKA_PORT": "5432"}, "INSIGHTS_POSTGRES_PORT and INSIGHTS_KAFKA_PORT are both 5432: set one"),
]


@pytest.mark.parametrize(("group", "values", "sentence"), COMBINATIONS)
def test_settings_that_contradict_each_other_are_one_sentence(
    monkeypatch: pytest.MonkeyPatch, group: type[BaseSettings], values: dict[str, str], sentence: str
) -> None:
    for name, value in values.items():
        monkeypatch.setenv(group.model_config["env_prefix"] + name, value)
    with pytest.raises(UserError) as raised:
        load(group)
    assert sentence in str(raised.value)
    assert "\n" not in str(raised.value)


BEFORE_A_START = [
    ("INSIGHTS_STREAM_CASSANDRA_IN_FLIGHT", "0"),
    ("INSIGHTS_PUBLISHER_BATCH_ROWS", "many"),
    ("INSIGHTS_KAFKA_PARTITIONS", "0"),
    ("INSIGHTS_POSTGRES_DBNAME", ""),
    ("INSIGHTS_SOURCE_PAGE_SIZE", "5001"),
    ("INSIGHTS_STAGING_RETENTION_DAYS", "0"),
    ("INSIGHTS_DASHBOARD_CACHE_SECONDS", "soon"),
    ("INSIGHTS_AIRFLOW_TIMEOUT_SECONDS", "0"),
    ("INSIGHTS_PATIENCE_SECONDS", "0"),
    ("INSIGHTS_CASSANDRA_STORAGE_PORT", "80"),
]


@pytest.mark.parametrize("command", ["demo", "up"])
@pytest.mark.parametrize(("variable", "value"), BEFORE_A_START)
def test_an_invalid_setting_ends_the_command_before_anything_starts(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, command: str, variable: str, value: str
) -> None:
    monkeypatch.setattr("insights.local.platform.Platform", _NoPlatform)
    result = CliRunner().invoke(app, [command], env={"INSIGHTS_HOME": str(tmp_path / "home"), variable: value})
    assert result.exit_code == 1
    assert result.stderr.startswith(f"error: {variable} is {value!r}: set it to ")
    assert result.stderr.count("\n") == 1
    assert not (tmp_path / "home").exists()


class _NoPlatform:
    """Fails the test if a command gets as far as the platform."""

    def __init__(self, *_: Any) -> None:
        raise AssertionError("the platform must not be reached")


def test_variables_of_a_platform_are_adopted_and_those_it_overrides_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INSIGHTS_KAFKA_SECURITY_PROTOCOL", "SASL_SSL")
    monkeypatch.setenv("INSIGHTS_HOME", "elsewhere")
    monkeypatch.setenv("INSIGHTS_KAFKA_USERNAME", "")
    monkeypatch.setenv("INSIGHTS_KAFKA_CA_FILE", "")
    platform = {
        "INSIGHTS_KAFKA_SECURITY_PROTOCOL": "PLAINTEXT",
        "INSIGHTS_HOME": "/home",
        "INSIGHTS_KAFKA_USERNAME": "",
    }
    assert list_overridden(platform) == ["INSIGHTS_KAFKA_SECURITY_PROTOCOL"]
    adopt_environment(platform)
    with pytest.raises(UserError, match="SASL_SSL"):
        load(KafkaSettings)
    adopt_environment(platform, replace=True)
    assert load(KafkaSettings).security_protocol == "PLAINTEXT"


@pytest.mark.parametrize(
    ("variable", "group", "value"),
    [
        ("INSIGHTS_SOURCE_GENDER", SourceSettings, "\uff46emale"),
        ("INSIGHTS_SOURCE_NATIONALITIES", SourceSettings, "\u0131r"),
        ("INSIGHTS_KAFKA_BOOTSTRAP_SERVERS", KafkaSettings, "kafka:9\u0660\u0669\u0662"),
    ],
)
def test_a_letter_or_digit_beyond_ascii_is_not_taken_for_one_of_ascii(
    monkeypatch: pytest.MonkeyPatch, variable: str, group: type[BaseSettings], value: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(UserError, match=variable):
        load(group)


def test_codes_in_settings_may_have_either_case(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INSIGHTS_CASSANDRA_CONSISTENCY", " local_one")
    monkeypatch.setenv("INSIGHTS_SOURCE_GENDER", "FEMALE ")
    assert (load(CassandraSettings).consistency, load(SourceSettings).gender) == ("LOCAL_ONE", "female")
