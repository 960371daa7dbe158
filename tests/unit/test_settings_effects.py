"""Every setting has an effect: each is changed through its variable, and what the platform then does is compared."""

import importlib.util
import runpy
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext, suppress
from pathlib import Path
from types import MappingProxyType, SimpleNamespace
from typing import Any, NamedTuple

import certifi
import pytest
import requests
import streamlit as st
from cassandra import InvalidRequest
from typer.testing import CliRunner

from dashboard import auth
from dashboard.data import stores as dashboard_stores
from insights import probes
from insights.cli import app
from insights.clients import airflow, connections, otlp
from insights.clients.tracing import NoSpans, open_spans
from insights.errors import UserError
from insights.exporter.loop import Exporter
from insights.exporter.metrics import FlowMetrics
from insights.local import platform as platform_module
from insights.local.configuration import Configuration, DemoOptions
from insights.local.platform import Platform, build_steps
from insights.migrations import kafka_topics
from insights.migrations.migrate_cassandra import migrate_cassandra
from insights.publisher import loop
from insights.publisher.metrics import PublisherMetrics
from insights.settings import (
    AirflowSettings,
    CassandraSettings,
    ExporterSettings,
    KafkaSettings,
    LocalSettings,
    PostgresSettings,
    PublisherSettings,
    SourceSettings,
    StreamSettings,
    load,
)
from insights.sinks import stores
from insights.source import client
from insights.source.errors import FetchFailure, SourceError
from insights.staging import retention
from insights.stream import query
from insights.stream.start import StreamStart
from jobs import export_metrics, migrate, publish_staged, stream_users
from tests.helpers.support import REPOSITORY
from tests.unit.test_settings import LOCAL, list_variables

Patch = pytest.MonkeyPatch
SECRET = "s" * 16


class Recorder:
    """Accepts every attribute and call, and keeps the arguments of the calls."""

    def __init__(self, calls: list[Any]) -> None:
        self._calls = calls

    def __getattr__(self, _: str) -> "Recorder":
        return self

    def __call__(self, *arguments: Any, **named: Any) -> "Recorder":
        self._calls.append((arguments, named))
        return self


class StoppedError(UserError):
    """Ends what is observed."""


def stop(*_: Any, **__: Any) -> None:
    raise StoppedError("stopped")


def keep(calls: list[Any], value: object, result: Any) -> Any:
    calls.append(value)
    return result


def connect_postgres(_: Patch) -> object:
    return load(PostgresSettings).connection("test")


def connect_kafka(_: Patch) -> object:
    return load(KafkaSettings).client(), load(KafkaSettings).spark()


def create_topics(patch: Patch) -> object:
    created: list[Any] = []

    def create(topics: list[Any], **_: Any) -> None:
        created.extend((topic.topic, topic.num_partitions, topic.replication_factor, topic.config) for topic in topics)
        stop()

    admin = SimpleNamespace(list_topics=lambda **_: None, create_topics=create)
    patch.setattr(kafka_topics, "AdminClient", lambda _: admin)
    with suppress(StoppedError):
        kafka_topics.ensure_topics(load(KafkaSettings))
    return created


def connect_cassandra(patch: Patch) -> object:
    seen: list[Any] = []

    def make_cluster(hosts: list[str], **named: Any) -> None:
        [profile] = named["execution_profiles"].values()
        login = named["auth_provider"]
        seen.extend((hosts, named["port"], profile.consistency_level))
        seen.append(profile.load_balancing_policy._child_policy.local_dc)
        seen.append(login and (login.username, login.password))
        endpoints = named.get("endpoint_factory")
        seen.append(endpoints and [point.ssl_options for point in endpoints.contact_points()])

    patch.setattr(connections, "Cluster", make_cluster)
    connections.make_cassandra_cluster(load(CassandraSettings))
    return seen


def create_keyspace(patch: Patch) -> object:
    statements: list[str] = []

    def execute(statement: str) -> None:
        statements.append(statement)
        raise InvalidRequest("enough")

    session = SimpleNamespace(execute=execute, cluster=SimpleNamespace())
    patch.setattr(connections, "open_cassandra", lambda *_, **__: nullcontext(session))
    with suppress(UserError):
        migrate_cassandra(load(CassandraSettings))
    return statements


def fetch(patch: Patch) -> object:
    requested: list[str] = []

    def fetch_body(_: requests.Session, *arguments: Any) -> None:
        requested.append(repr(arguments[:3]))
        raise SourceError(FetchFailure.CONNECTION, "refused")

    patch.setattr("insights.source.http.fetch_body", fetch_body)
    with client.SourceClient(load(SourceSettings), clock=lambda: 0.0, sleep=lambda _: None) as source:
        with suppress(SourceError):
            source.fetch_page("seed", 1)
        headers = dict(source._session.headers)
    return requested, headers


def prune(patch: Patch) -> object:
    days: list[int] = []
    patch.setitem(sys.modules, "airflow.sdk", SimpleNamespace(dag=lambda **_: lambda run: run, task=lambda run: run))
    patch.setattr(connections, "connect_postgres", lambda *_: SimpleNamespace(close=lambda: None))
    patch.setattr(retention, "drop_expired", lambda _, __, kept, ___: keep(days, kept, []))
    patch.setattr("insights.repair.retention.prune_batches", lambda _, __, kept: keep(days, kept, None))
    spec = importlib.util.spec_from_file_location("prune_staging_dag", REPOSITORY / "dags" / "prune_staging.py")
    assert spec is not None
    assert spec.loader is not None
    with suppress(AttributeError):
        spec.loader.exec_module(importlib.util.module_from_spec(spec))
    return days


def publish(patch: Patch) -> object:
    calls: list[Any] = []
    wake = SimpleNamespace(stopped=False)

    def wait(seconds: float, *_: Any) -> None:
        calls.append(seconds)
        wake.stopped = True

    wake.wait = wait
    producer = SimpleNamespace(max_message_bytes=1, close=lambda: None)
    patch.setattr(loop, "BatchProducer", lambda *arguments: keep(calls, arguments[2], producer))
    patch.setattr("insights.publisher.staged_rows.prepare_connection", lambda _: None)
    patch.setattr("insights.publisher.staged_rows.count_lag", lambda *_: 0)
    patch.setattr("insights.publisher.staged_rows.has_rows_beyond", lambda *_: False)
    patch.setattr("insights.publisher.staged_rows.read_batch", lambda *arguments: keep(calls, arguments[3], []))
    cursor: Any = SimpleNamespace(epoch=0, position=None, release=lambda: None)
    groups: Any = (load(PostgresSettings), load(KafkaSettings), load(PublisherSettings), wake)
    loop.Publisher(*groups, PublisherMetrics(), NoSpans())._lead(SimpleNamespace(), cursor)  # type: ignore[arg-type, call-arg]
    return calls


def export(patch: Patch) -> object:
    calls: list[Any] = []
    wake: Any = SimpleNamespace(stopped=False)

    def wait(seconds: float) -> None:
        calls.append(seconds)
        wake.stopped = True

    wake.wait = wait
    patch.setattr(connections, "connect_postgres", stop)
    Exporter(load(PostgresSettings), load(KafkaSettings), load(ExporterSettings), wake, FlowMetrics()).run()
    return calls


def serve_exporter_probes(patch: Patch) -> object:
    return _record_probes(patch, export_metrics)


def serve_publisher_probes(patch: Patch) -> object:
    return _record_probes(patch, publish_staged)


def serve_stream_probes(patch: Patch) -> object:
    return _record_probes(patch, stream_users)


def serve_dashboard_metrics(patch: Patch) -> object:
    addresses: list[Any] = []

    def serve(host: str, port: int, *_: Any) -> None:
        addresses.append((host, port))
        stop()

    patch.setattr(probes, "ProbeServer", serve)
    with suppress(SystemExit):
        runpy.run_module("dashboard.serve")
    return addresses


def _record_probes(patch: Patch, job: Any) -> object:
    addresses: list[Any] = []

    def serve(host: str, port: int, *_: Any, **__: Any) -> None:
        addresses.append((host, port))
        stop()

    patch.setattr(stream_users, "ProbeServer", serve)
    patch.setattr(probes, "ProbeServer", serve)
    assert job.main() == 1
    return addresses


def configure_spark(_: Patch) -> object:
    return query.build_spark_conf(load(StreamSettings))


def read_topic(_: Patch) -> object:
    calls: list[Any] = []
    recorder: Any = Recorder(calls)
    query.read_topic(recorder, load(StreamSettings), load(KafkaSettings), StreamStart("", "", "", 0, 1000))
    return calls


def start_query(_: Patch) -> object:
    calls: list[Any] = []
    recorder: Any = Recorder(calls)
    query.start_query(recorder, recorder, load(StreamSettings))
    return [named or arguments for arguments, named in calls if recorder not in arguments]


def write_cassandra(patch: Patch) -> object:
    limits: list[Any] = []
    patch.setattr(connections, "open_cassandra", lambda _: nullcontext())
    patch.setattr(stores, "CassandraWriter", lambda _, **named: keep(limits, named, None))
    settings = stores.StoreConnectionSettings(load(StreamSettings), load(PostgresSettings), load(CassandraSettings))
    stores.StoreConnections(settings).connect_cassandra()
    return limits


def refresh(_: Patch) -> object:
    st.cache_resource.clear()
    return dashboard_stores.get_refresh_seconds()


def visit(patch: Patch) -> object:
    """Who a visitor is that a proxy announces and that logged in ten hours ago, and whether they may act."""
    headers = {"X-Insights-Proxy-Secret": [SECRET], "X-Auth-Request-Email": ["ann@example.org"]}
    context = SimpleNamespace(headers=SimpleNamespace(get_all=lambda name: headers.get(name, [])))
    user = {"is_logged_in": True, "iat": int(time.time()) - 36_000, "email": "ann@example.org"}
    patch.setattr(auth, "st", SimpleNamespace(get_option=lambda _: "0.0.0.0", context=context, user=user))
    return auth.get_visitor(), auth.may_redrive()


def trace(patch: Patch) -> object:
    endpoints: list[str] = []
    spans = SimpleNamespace(close=lambda: None)
    patch.setattr(otlp, "ExportedSpans", lambda _, endpoint: keep(endpoints, endpoint, spans))
    with open_spans("test"):
        return endpoints


def ask_airflow(patch: Patch) -> object:
    sent: list[Any] = []

    def send(*arguments: Any, **named: Any) -> None:
        sent.append((arguments, {name: value for name, value in named.items() if name != "auth"}))
        raise requests.ConnectionError

    patch.setattr(requests, "request", send)
    with suppress(UserError):
        airflow.list_last_runs(load(AirflowSettings), "ingest_users", 1)
    return sent


def plan_migration(_: Patch) -> object:
    steps: Any = migrate._plan_migration(["postgres", "cassandra"], topics=False)
    return [(step.func.__name__, step.args[1:]) for _, step in steps]


def configure_platform(_: Patch) -> object:
    settings = load(LocalSettings)
    platform = Configuration(settings, DemoOptions(prometheus=Path("prometheus")), Path("/jdk/bin/java"))
    steps = build_steps(platform, settings.patience_seconds, lambda: True)
    ports = [step.component.ports() for step in steps if step.component]
    return ports, platform.jars, platform.home, platform.environment["INSIGHTS_SOURCE_URL"]


def find_java(patch: Patch) -> object:
    homes: list[Any] = []

    def find(home: Path | None) -> None:
        homes.append(home)
        stop()

    patch.setattr(platform_module, "find_java", find)
    with suppress(StoppedError):
        Platform(load(LocalSettings), DemoOptions())._start(lambda _: None)
    return homes


def wait_patiently(patch: Patch) -> object:
    patience: list[float] = []
    running = SimpleNamespace(
        up=lambda _: None, is_ingesting=lambda: False, addresses=list, down=lambda: None, wait=lambda: None
    )
    patch.setattr("insights.local.platform.Platform", lambda *_: running)
    patch.setattr("insights.cli.demo.load_stores", lambda: None)
    patch.setattr("insights.cli.demo.watch_first_batch", lambda *arguments: keep(patience, arguments[3], 0))
    assert CliRunner().invoke(app, ["demo", "--once"]).exit_code == 0
    return patience


class Effect(NamedTuple):
    """How an effect is observed, a value that differs from the default, and other variables that it depends on."""

    observe: Callable[[Patch], object]
    value: str
    others: Mapping[str, str] = MappingProxyType({})


SASL = {"KAFKA_SECURITY_PROTOCOL": "SASL_SSL", "KAFKA_USERNAME": "a", "KAFKA_PASSWORD": "b"}
CQL_LOGIN = {"CASSANDRA_USERNAME": "a", "CASSANDRA_PASSWORD": "b"}
LOCAL_SPARK = {"STREAM_MASTER": "local[2]"}
PROXY = {"DASHBOARD_AUTH": "proxy", "DASHBOARD_VIEWERS": "*", "DASHBOARD_PROXY_SECRET": SECRET}
LOGIN = {"DASHBOARD_AUTH": "oidc", "DASHBOARD_VIEWERS": "*"}
AIRFLOW = {"AIRFLOW_URL": "http://airflow"}
EFFECTS = {
    "POSTGRES_HOST": Effect(connect_postgres, "db"),
    "POSTGRES_PORT": Effect(connect_postgres, "6432"),
    "POSTGRES_DBNAME": Effect(connect_postgres, "other"),
    "POSTGRES_USER": Effect(connect_postgres, "other"),
    "POSTGRES_PASSWORD": Effect(connect_postgres, "other"),
    "POSTGRES_SSLMODE": Effect(connect_postgres, "require"),
    "POSTGRES_SSLROOTCERT": Effect(connect_postgres, "/ca.pem"),
    "POSTGRES_CONNECT_TIMEOUT_SECONDS": Effect(connect_postgres, "3"),
    "KAFKA_BOOTSTRAP_SERVERS": Effect(connect_kafka, "broker:1"),
    "KAFKA_SECURITY_PROTOCOL": Effect(connect_kafka, "SSL"),
    "KAFKA_SASL_MECHANISM": Effect(connect_kafka, "PLAIN", SASL),
    "KAFKA_USERNAME": Effect(connect_kafka, "other", SASL),
    "KAFKA_PASSWORD": Effect(connect_kafka, "other", SASL),
    "KAFKA_CA_FILE": Effect(connect_kafka, "/ca.pem"),
    "KAFKA_RAW_TOPIC": Effect(create_topics, "other"),
    "KAFKA_QUARANTINE_TOPIC": Effect(create_topics, "other"),
    "KAFKA_PARTITIONS": Effect(create_topics, "7"),
    "KAFKA_REPLICATION_FACTOR": Effect(create_topics, "3"),
    "KAFKA_MAX_MESSAGE_BYTES": Effect(create_topics, "2000"),
    "CASSANDRA_HOSTS": Effect(connect_cassandra, "one,two"),
    "CASSANDRA_PORT": Effect(connect_cassandra, "9043"),
    "CASSANDRA_LOCAL_DC": Effect(connect_cassandra, "dc2"),
    "CASSANDRA_CONSISTENCY": Effect(connect_cassandra, "one"),
    "CASSANDRA_USERNAME": Effect(connect_cassandra, "other", CQL_LOGIN),
    "CASSANDRA_PASSWORD": Effect(connect_cassandra, "other", CQL_LOGIN),
    "CASSANDRA_CA_FILE": Effect(connect_cassandra, certifi.where()),
    "CASSANDRA_SERVER_NAME": Effect(connect_cassandra, "other", {"CASSANDRA_CA_FILE": certifi.where()}),
    "CASSANDRA_KEYSPACE": Effect(create_keyspace, "other"),
    "CASSANDRA_REPLICATION": Effect(create_keyspace, "{'class': 'NetworkTopologyStrategy'}"),
    "SOURCE_URL": Effect(fetch, "http://127.0.0.1:9/api/"),
    "SOURCE_HEADERS": Effect(fetch, "X-Api-Key: k"),
    "SOURCE_PAGE_SIZE": Effect(fetch, "7"),
    "SOURCE_NATIONALITIES": Effect(fetch, "de, fr"),
    "SOURCE_GENDER": Effect(fetch, "female"),
    "SOURCE_INCLUDE": Effect(fetch, "login, name"),
    "SOURCE_EXCLUDE": Effect(fetch, "picture"),
    "SOURCE_TIMEOUT_SECONDS": Effect(fetch, "3"),
    "SOURCE_DEADLINE_SECONDS": Effect(fetch, "40"),
    "SOURCE_MAX_ATTEMPTS": Effect(fetch, "2"),
    "SOURCE_MAX_BYTES": Effect(fetch, "2000"),
    "STAGING_RETENTION_DAYS": Effect(prune, "3"),
    "PUBLISHER_BATCH_ROWS": Effect(publish, "7"),
    "PUBLISHER_POLL_SECONDS": Effect(publish, "7"),
    "PUBLISHER_FLUSH_SECONDS": Effect(publish, "7"),
    "PUBLISHER_HTTP_HOST": Effect(serve_publisher_probes, "0.0.0.0"),
    "PUBLISHER_HTTP_PORT": Effect(serve_publisher_probes, "9999"),
    "EXPORTER_INTERVAL_SECONDS": Effect(export, "7"),
    "EXPORTER_HTTP_HOST": Effect(serve_exporter_probes, "0.0.0.0"),
    "EXPORTER_HTTP_PORT": Effect(serve_exporter_probes, "9999"),
    "STREAM_CHECKPOINT": Effect(start_query, "/elsewhere"),
    "STREAM_TRIGGER_SECONDS": Effect(start_query, "7"),
    "STREAM_MAX_OFFSETS_PER_TRIGGER": Effect(read_topic, "7"),
    "STREAM_MASTER": Effect(configure_spark, "local[2]"),
    "STREAM_JARS": Effect(configure_spark, __file__, LOCAL_SPARK),
    "STREAM_DRIVER_MEMORY": Effect(configure_spark, "2g", LOCAL_SPARK),
    "STREAM_SHUFFLE_PARTITIONS": Effect(configure_spark, "7"),
    "STREAM_CASSANDRA_IN_FLIGHT": Effect(write_cassandra, "7"),
    "STREAM_CASSANDRA_BATCH_ROWS": Effect(write_cassandra, "7"),
    "STREAM_HTTP_HOST": Effect(serve_stream_probes, "0.0.0.0"),
    "STREAM_HTTP_PORT": Effect(serve_stream_probes, "9999"),
    "DASHBOARD_CACHE_SECONDS": Effect(refresh, "7"),
    "DASHBOARD_AUTH": Effect(visit, "none", PROXY),
    "DASHBOARD_ALLOW_ANONYMOUS": Effect(visit, "true"),
    "DASHBOARD_VIEWERS": Effect(visit, "@example.com", PROXY),
    "DASHBOARD_OPERATORS": Effect(visit, "ann@example.org", PROXY),
    "DASHBOARD_SESSION_HOURS": Effect(visit, "9", LOGIN),
    "DASHBOARD_METRICS_HOST": Effect(serve_dashboard_metrics, "0.0.0.0"),
    "DASHBOARD_METRICS_PORT": Effect(serve_dashboard_metrics, "9999"),
    "DASHBOARD_PROXY_USER_HEADER": Effect(visit, "X-User", PROXY),
    "DASHBOARD_PROXY_SECRET": Effect(visit, "t" * 16, PROXY),
    "AIRFLOW_URL": Effect(ask_airflow, "http://other", AIRFLOW),
    "AIRFLOW_USERNAME": Effect(ask_airflow, "other", AIRFLOW),
    "AIRFLOW_PASSWORD": Effect(ask_airflow, "other", AIRFLOW),
    "AIRFLOW_TIMEOUT_SECONDS": Effect(ask_airflow, "7", AIRFLOW),
    "OTEL_EXPORTER_OTLP_ENDPOINT": Effect(trace, "http://127.0.0.1:4318"),
    "ACCESS_POSTGRES": Effect(plan_migration, '{"stream": "role"}'),
    "ACCESS_CASSANDRA": Effect(plan_migration, '{"stream": "role"}'),
    "ACCESS_PASSWORDS": Effect(plan_migration, "/passwords", {"ACCESS_CASSANDRA": '{"stream": "role"}'}),
    f"HOME{LOCAL}": Effect(configure_platform, "elsewhere"),
    f"CACHE{LOCAL}": Effect(configure_platform, "/cache"),
    f"SOURCE_URL{LOCAL}": Effect(configure_platform, "http://127.0.0.1:9/api/"),
    f"PATIENCE_SECONDS{LOCAL}": Effect(wait_patiently, "77"),
    f"JAVA_HOME{LOCAL}": Effect(find_java, "/jdk"),
    **{
        f"{name.upper()}{LOCAL}": Effect(configure_platform, "12345")
        for name in LocalSettings.model_fields
        if name.endswith("_port")
    },
}


@pytest.fixture(autouse=True)
def defaults(monkeypatch: Patch, tmp_path: Path) -> None:
    """No variable is set, and relative paths are below a temporary directory."""
    for variable, _, _ in list_variables():
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.chdir(tmp_path)


def to_variable(name: str) -> str:
    name = name.removesuffix(LOCAL)
    return name if name in ("JAVA_HOME", "OTEL_EXPORTER_OTLP_ENDPOINT") else f"INSIGHTS_{name}"


def test_an_effect_of_every_setting_is_observed() -> None:
    every = {
        variable.removeprefix("INSIGHTS_") + (LOCAL if group is LocalSettings else "")
        for variable, group, _ in list_variables()
    }
    assert set(EFFECTS) == every


@pytest.mark.parametrize("name", EFFECTS)
def test_a_setting_changes_what_the_platform_does(monkeypatch: Patch, name: str) -> None:
    effect = EFFECTS[name]
    for other, value in effect.others.items():
        monkeypatch.setenv(to_variable(other), value)
    before = effect.observe(monkeypatch)
    monkeypatch.setenv(to_variable(name), effect.value)
    assert effect.observe(monkeypatch) != before


def test_what_is_observed_is_the_same_without_a_change(monkeypatch: Patch) -> None:
    observers = {effect.observe: effect.others for effect in EFFECTS.values()}
    for observe, others in observers.items():
        for other, value in others.items():
            monkeypatch.setenv(to_variable(other), value)
        assert observe(monkeypatch) == observe(monkeypatch), observe.__name__
        for other in others:
            monkeypatch.delenv(to_variable(other))
