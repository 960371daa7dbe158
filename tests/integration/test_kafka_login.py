"""Every Kafka client of the platform with TLS and SCRAM, as Strimzi configures them, and a refused login."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from pydantic import SecretStr

from insights.errors import NotReadyError, RefusedError
from insights.migrations.kafka_topics import ensure_topics
from insights.settings import CassandraSettings, KafkaSettings, PostgresSettings
from tests.helpers.guarded_kafka import PASSWORD, GuardedKafka
from tests.helpers.publisher_process import read_cursor, run_publisher
from tests.helpers.raw_users import user
from tests.helpers.staged_pages import make_records, read_topic, run_sql, stage_page
from tests.helpers.stream_process import Stream
from tests.helpers.support import eventually, free_port
from tests.helpers.warm_spark import WarmSpark


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory, java: Path, jars: Path) -> Iterator[GuardedKafka]:
    home = tmp_path_factory.mktemp("guarded")
    ports = {"controller_port": free_port(), "guarded_port": free_port()}
    server = GuardedKafka(home, free_port(), java=java, jars=jars, **ports)
    server.start()
    try:
        server.wait_ready(120)
        yield server
    finally:
        server.stop()


@pytest.fixture
def kafka(broker: GuardedKafka) -> KafkaSettings:
    return KafkaSettings(
        bootstrap_servers=f"{broker.host}:{broker.guarded_port}",
        security_protocol="SASL_SSL",
        username="alice",
        password=SecretStr(PASSWORD),
        ca_file=broker.authority,
    )


def test_every_client_connects_with_tls_and_a_password(
    kafka: KafkaSettings,
    postgres: PostgresSettings,
    cassandra: CassandraSettings,
    tmp_path: Path,
    jars: Path,
    warm_spark: WarmSpark,
) -> None:
    assert ensure_topics(kafka) == [kafka.raw_topic, kafka.quarantine_topic]
    good = [json.dumps(user(login=user()["login"] | {"uuid": str(uuid4())})).encode() for _ in range(3)]
    stage_page(postgres, [*good, *make_records(2)])
    with run_publisher(postgres, kafka):
        eventually(lambda: read_cursor(postgres)["published"] == 5, message="the publisher published nothing")
    with Stream(tmp_path, jars, postgres, kafka, cassandra, warm_spark).running() as stream:
        stream.wait(lambda: run_sql(postgres, "SELECT count(*) FROM analytics.users") == [(3,)])
        eventually(lambda: len(read_topic(kafka, kafka.quarantine_topic)) == 2)


@pytest.mark.parametrize("change", [{"password": SecretStr("wrong")}, {"username": "mallory"}])
def test_a_refused_login_is_reported_at_once(kafka: KafkaSettings, change: dict[str, Any]) -> None:
    user_name = change.get("username", "alice")
    with pytest.raises(
        RefusedError, match=rf"Kafka at .* refused the login of {user_name!r} .*INSIGHTS_KAFKA_USERNAME"
    ):
        ensure_topics(kafka.model_copy(update=change), timeout_seconds=10)


def test_a_broker_with_a_certificate_for_another_host_is_named_with_the_reason(
    kafka: KafkaSettings, broker: GuardedKafka
) -> None:
    elsewhere = kafka.model_copy(update={"bootstrap_servers": f"localhost:{broker.guarded_port}"})
    with pytest.raises(NotReadyError, match=r"Kafka at .* \(.*certificate.*\)"):
        ensure_topics(elsewhere, timeout_seconds=3)


def test_a_broker_with_an_untrusted_certificate_is_named_with_the_reason(kafka: KafkaSettings) -> None:
    with pytest.raises(NotReadyError, match=r"Kafka at .* \(.*certificate.*\)"):
        ensure_topics(kafka.model_copy(update={"ca_file": None}), timeout_seconds=10)
