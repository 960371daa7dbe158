import stat
from pathlib import Path

import pytest

from insights.local import configuration
from insights.local.configuration import Configuration, DemoOptions
from insights.local.platform import build_steps
from insights.settings import (
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
    StreamSettings,
    load,
)


@pytest.fixture
def settings(tmp_path, monkeypatch):
    monkeypatch.delenv("INSIGHTS_SOURCE_URL", raising=False)
    update = {"home": tmp_path / "home", "cache": tmp_path / "cache", "kafka_port": 19092, "postgres_port": 15432}
    return load(LocalSettings).model_copy(update=update)


def configure(settings, **options):
    return Configuration(settings, DemoOptions(**options), Path("/jdk/bin/java"))


def test_every_variable_is_one_that_the_settings_read(settings):
    groups = (
        LocalSettings,
        PostgresSettings,
        KafkaSettings,
        CassandraSettings,
        SourceSettings,
        PublisherSettings,
        StreamSettings,
        DashboardSettings,
        ExporterSettings,
        DashboardMetricsSettings,
    )
    known = {
        group.model_config["env_prefix"].upper() + field.upper() for group in groups for field in group.model_fields
    }
    ours = {name for name in configure(settings).environment if name.startswith("INSIGHTS_")}
    assert ours <= known


def test_children_read_the_same_servers_as_the_platform_starts(settings, monkeypatch):
    platform = configure(settings)
    for name, value in platform.environment.items():
        monkeypatch.setenv(name, value)
    assert PostgresSettings() == platform.postgres_settings
    assert KafkaSettings().bootstrap_servers == "127.0.0.1:19092" == platform.kafka.bootstrap_servers
    assert CassandraSettings().contact_points == ["127.0.0.1"]
    assert StreamSettings().master == "local[2,4]"
    assert len(StreamSettings().jars.split(",")) == 4


def test_the_dashboard_which_has_no_login_listens_on_this_machine_only(settings, monkeypatch):
    platform = configure(settings)
    arguments = platform.dashboard.command()
    assert "--server.address=127.0.0.1" in arguments
    assert {f"--server.allowedHosts={host}" for host in ("127.0.0.1", "localhost")} <= set(arguments)
    monkeypatch.setenv("INSIGHTS_DASHBOARD_METRICS_HOST", "0.0.0.0")
    for name, value in platform.environment.items():
        monkeypatch.setenv(name, value)
    assert (DashboardSettings().auth, DashboardSettings().operators) == ("none", "*")
    metrics = DashboardMetricsSettings()
    assert (metrics.host, metrics.port) == ("127.0.0.1", settings.dashboard_metrics_port)


def test_the_simulator_is_left_out_when_another_api_is_named(settings):
    def names(platform):
        return [step.name for step in build_steps(platform, 60, lambda: True)]

    assert "simulator" in names(configure(settings))
    live = configure(settings, live=True)
    assert live.environment["INSIGHTS_SOURCE_URL"] == configuration.LIVE_URL
    assert "simulator" not in names(live)
    named = settings.model_copy(update={"source_url": "http://127.0.0.1:9/api/"})
    assert configure(named).environment["INSIGHTS_SOURCE_URL"] == "http://127.0.0.1:9/api/"
    assert "simulator" not in names(configure(named))


def test_a_key_in_the_url_of_the_api_reaches_the_client_and_is_not_shown(settings):
    url = "https://someone:c4nary@a.example/api/?key=c4nary"
    platform = configure(settings.model_copy(update={"source_url": url}))
    assert platform.environment["INSIGHTS_SOURCE_URL"] == url
    assert [address.url for address in platform.addresses() if address.name == "source"] == [
        "https://a.example/api/?key=***"
    ]


def test_every_step_depends_on_earlier_steps_only(settings):
    earlier: set[str] = set()
    for step in build_steps(configure(settings), 60, lambda: True):
        assert set(step.after) <= earlier
        earlier.add(step.name)


def test_no_two_ports_share_a_variable_or_a_default(settings):
    settings = settings.model_copy(update={"kafka_port": 9092, "postgres_port": 5432})
    platform = configure(settings, prometheus=Path("/usr/bin/prometheus"))
    pairs = [
        pair
        for step in build_steps(platform, 60, lambda: True)
        if step.component
        for pair in step.component.ports().items()
    ]
    fields = {f"INSIGHTS_{name.upper()}" for name in LocalSettings.model_fields if name.endswith("_port")}
    assert {variable for variable, _ in pairs} == fields
    assert len({port for _, port in pairs}) == len(pairs)


def test_the_generated_postgres_password_is_kept_and_private(settings):
    password = configure(settings).postgres.password
    assert configure(settings).postgres.password == password
    assert stat.S_IMODE((settings.home / "postgres" / "password").stat().st_mode) == 0o600


def test_airflow_is_configured_by_variables_alone_and_never_writes_home(settings):
    platform = configure(settings)
    variables = platform.airflow_environment
    assert variables["AIRFLOW_HOME"] == str(settings.home / "airflow")
    assert variables["AIRFLOW__CORE__EXECUTOR"] == "LocalExecutor"
    assert variables["AIRFLOW__CORE__LOAD_EXAMPLES"] == "False"
    assert platform.postgres.password in variables["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"]
    assert "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN" not in platform.environment


def test_only_the_dashboard_has_a_login_to_airflow_and_it_is_not_an_admin(settings, monkeypatch):
    platform = configure(settings)
    users = platform.airflow_environment["AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS"]
    assert dict(user.split(":") for user in users.split(",")) == {"admin": "admin", "dashboard": "user"}
    login = {name: value for name, value in platform.dashboard.environment().items() if "INSIGHTS_AIRFLOW_" in name}
    for name, value in login.items():
        monkeypatch.setenv(name, value)
    assert load(AirflowSettings) == platform.airflow_settings
    assert platform.airflow_settings.username == "dashboard"
    assert platform.secrets.airflow_dashboard_password not in ("", platform.secrets.airflow_password)
    for other in (platform.publisher, platform.stream, platform.simulator, *platform.airflow):
        assert not login.items() & other.environment().items()
