"""`jobs/migrate.py` with stores that are not ready, and `--wait` for a migration that another process runs."""

import json
import logging
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import SecretStr

from insights.clients import connections
from insights.environment import read_inherited_environment
from insights.migrations import MIGRATIONS
from insights.migrations.migrate_cassandra import migrate_cassandra
from insights.migrations.migrate_postgres import migrate_postgres
from insights.migrations.wait import require_cassandra, require_postgres
from insights.settings import CassandraSettings, KafkaSettings, PostgresSettings, StoreSettings, to_environment
from jobs import migrate
from tests.helpers.component_logins import drop_logins, make_logins
from tests.helpers.staged_pages import run_sql
from tests.helpers.support import REPOSITORY, free_port

Job = Callable[..., int]


@pytest.fixture
def job(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Job:
    """Runs the job with these settings and arguments, and returns its exit code."""
    caplog.set_level(logging.INFO, logger="insights.clients.retry")

    def run(postgres: PostgresSettings, cassandra: CassandraSettings, *arguments: str, **environment: str) -> int:
        for name, value in (to_environment(postgres, cassandra) | environment).items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(sys, "argv", ["migrate.py", *arguments])
        return migrate.main()

    return run


def test_the_job_migrates_and_grants_and_the_waiting_jobs_end(
    job: Job,
    empty_postgres: PostgresSettings,
    empty_cassandra: CassandraSettings,
    kafka: KafkaSettings,
    tmp_path: Path,
) -> None:
    superuser = StoreSettings(empty_postgres, kafka, empty_cassandra)
    logins = make_logins(superuser, tmp_path)
    owner, dashboard = logins.owner, logins.of("dashboard")
    access = {
        "INSIGHTS_ACCESS_POSTGRES": json.dumps(logins.postgres_roles),
        "INSIGHTS_ACCESS_CASSANDRA": json.dumps(logins.cassandra_roles),
        "INSIGHTS_ACCESS_PASSWORDS": str(logins.passwords),
    }
    command = [sys.executable, "jobs/migrate.py", "--wait", "120"]
    environment = read_inherited_environment() | to_environment(dashboard.postgres, dashboard.cassandra)
    try:
        with subprocess.Popen(command, cwd=REPOSITORY, env=environment, stderr=subprocess.PIPE, text=True) as waiting:
            try:
                assert job(owner.postgres, owner.cassandra, **access) == 0
                _, stderr = waiting.communicate(timeout=150)
            finally:
                waiting.kill()
        assert waiting.returncode == 0, stderr
        assert stderr.count("PostgreSQL is ready") <= 1
        assert job(dashboard.postgres, dashboard.cassandra, "--wait", "0") == 0
    finally:
        drop_logins(superuser, logins)


def test_a_newer_schema_is_sufficient(postgres: PostgresSettings, cassandra: CassandraSettings) -> None:
    run_sql(postgres, "INSERT INTO _yoyo_migration (migration_hash, migration_id) VALUES ('x', '9999_later')")
    with connections.open_cassandra(cassandra) as session:
        session.execute("INSERT INTO schema_migrations (name, checksum) VALUES ('9999_later', 'x')")
    require_postgres(postgres)
    require_cassandra(cassandra)


def test_after_the_wait_one_sentence_names_the_store_and_what_is_missing(
    job: Job, postgres: PostgresSettings, empty_cassandra: CassandraSettings, capsys: pytest.CaptureFixture[str]
) -> None:
    last = max(path.stem for path in (MIGRATIONS / "postgres").glob("*.sql"))
    run_sql(postgres, "DELETE FROM _yoyo_migration WHERE migration_id = %s", last)
    assert job(postgres, empty_cassandra, "--wait", "0.1") == 1
    [sentence] = capsys.readouterr().err.splitlines()
    assert sentence.startswith("error: PostgreSQL at 127.0.0.1:")
    assert f"database {postgres.dbname!r}, lacks the migration {last};" in sentence

    migrate_cassandra(empty_cassandra)
    with connections.open_cassandra(empty_cassandra) as session:
        session.execute("TRUNCATE schema_migrations")
    assert job(postgres, empty_cassandra, "--wait", "0", "--store", "cassandra") == 1
    [sentence] = capsys.readouterr().err.splitlines()
    assert sentence.startswith(
        f"error: Cassandra at 127.0.0.1, keyspace {empty_cassandra.keyspace!r}, lacks the migrations 0001"
    )


def test_stores_without_tables_are_reported_too(
    job: Job, empty_postgres: PostgresSettings, empty_cassandra: CassandraSettings, capsys: pytest.CaptureFixture[str]
) -> None:
    for store, beginning in (("postgres", "error: PostgreSQL at"), ("cassandra", "error: Cassandra at")):
        assert job(empty_postgres, empty_cassandra, "--wait", "0", "--store", store) == 1
        [sentence] = capsys.readouterr().err.splitlines()
        assert sentence.startswith(beginning)
        assert "read its applied migrations" in sentence


def test_kafka_is_ready_once_it_has_both_topics(
    job: Job,
    empty_postgres: PostgresSettings,
    empty_cassandra: CassandraSettings,
    kafka: KafkaSettings,
    capsys: pytest.CaptureFixture[str],
) -> None:
    wait, environment = ("--wait", "0", "--store", "kafka"), to_environment(kafka)
    absent = to_environment(kafka.model_copy(update={"quarantine_topic": f"{kafka.raw_topic}.absent"}))
    assert job(empty_postgres, empty_cassandra, *wait, **environment) == 0
    assert job(empty_postgres, empty_cassandra, *wait, **absent) == 1
    [sentence] = capsys.readouterr().err.splitlines()
    assert sentence.startswith(f"error: Kafka at {kafka.bootstrap_servers} has no topic '{kafka.raw_topic}.absent'")


def test_one_store_may_be_migrated_alone(
    job: Job, empty_postgres: PostgresSettings, caplog: pytest.LogCaptureFixture
) -> None:
    assert job(empty_postgres, CassandraSettings(port=free_port()), "--store", "postgres") == 0
    require_postgres(empty_postgres)
    assert caplog.messages == []


def test_a_refused_login_ends_the_job_at_once_and_a_missing_server_after_its_patience(
    job: Job, empty_postgres: PostgresSettings, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    wrong = empty_postgres.model_copy(update={"password": SecretStr("wrong")})
    assert job(wrong, CassandraSettings(), "--patience", "600") == 1
    [sentence] = capsys.readouterr().err.splitlines()
    assert "refused the login of 'insights' to database" in sentence
    assert caplog.messages == []

    assert job(wrong, CassandraSettings(), "--patience", "0.1", "--new-logins", "postgres") == 1
    assert capsys.readouterr().err.splitlines() == [sentence]
    assert caplog.messages == [f"waiting for PostgreSQL: {sentence.removeprefix('error: ')}"]
    caplog.clear()

    unreachable = empty_postgres.model_copy(update={"port": free_port()})
    assert job(unreachable, CassandraSettings(), "--patience", "0.1") == 1
    [sentence] = capsys.readouterr().err.splitlines()
    assert sentence.startswith(f"error: PostgreSQL at 127.0.0.1:{unreachable.port} ")
    assert caplog.messages == [f"waiting for PostgreSQL: {sentence.removeprefix('error: ')}"]


def test_a_refused_login_of_cassandra_ends_the_job_at_once(
    job: Job, empty_postgres: PostgresSettings, empty_cassandra: CassandraSettings, capsys: pytest.CaptureFixture[str]
) -> None:
    migrate_postgres(empty_postgres)
    wrong = empty_cassandra.model_copy(update={"password": SecretStr("wrong")})
    assert job(empty_postgres, wrong, "--patience", "600") == 1
    [sentence] = capsys.readouterr().err.splitlines()
    assert "password are incorrect" in sentence
