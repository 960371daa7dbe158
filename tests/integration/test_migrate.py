import shutil
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import psycopg2
import pytest
from confluent_kafka.admin import AdminClient, ConfigResource, ResourceType
from psycopg2.extras import execute_values
from pydantic import SecretStr

from insights.clients import connections, refill_record
from insights.errors import UserError
from insights.migrations import MIGRATIONS
from insights.migrations.kafka_topics import ensure_topics
from insights.migrations.migrate_cassandra import migrate_cassandra
from insights.migrations.migrate_postgres import _Backend, migrate_postgres
from insights.model.schema import USER_FIELDS
from insights.settings import CassandraSettings, KafkaSettings, PostgresSettings
from tests.helpers.idle_flow import user, user_id
from tests.helpers.support import eventually, free_port


def list_tables(settings: PostgresSettings) -> set[str]:
    with closing(connections.connect_postgres(settings, "tests")) as connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT schemaname || '.' || tablename FROM pg_tables WHERE schemaname IN ('staging', 'analytics')"
        )
        return {name for (name,) in cursor}


def test_postgres_files_are_applied_once(empty_postgres: PostgresSettings) -> None:
    names = sorted(path.stem for path in (MIGRATIONS / "postgres").glob("*.sql"))
    assert migrate_postgres(empty_postgres) == names
    assert {"staging.users", "staging.batches", "analytics.users"} <= list_tables(empty_postgres)
    assert migrate_postgres(empty_postgres) == []


def test_concurrent_postgres_runs_apply_each_file_once(empty_postgres: PostgresSettings) -> None:
    with ThreadPoolExecutor(4) as pool:
        applied = [name for run in pool.map(migrate_postgres, [empty_postgres] * 4) for name in run]
    assert sorted(applied) == sorted(path.stem for path in (MIGRATIONS / "postgres").glob("*.sql"))


def test_a_database_of_an_earlier_version_keeps_its_rows(empty_postgres: PostgresSettings, tmp_path: Path) -> None:
    for path in sorted((MIGRATIONS / "postgres").glob("*.sql"))[:2]:
        shutil.copy(path, tmp_path)
    migrate_postgres(empty_postgres, tmp_path)
    insert = f"INSERT INTO analytics.users ({', '.join(USER_FIELDS)}) VALUES %s"
    with closing(connections.connect_postgres(empty_postgres, "tests")) as connection, connection.cursor() as cursor:
        execute_values(cursor, insert, [user(1), user(2)])
        cursor.execute("INSERT INTO analytics.batches VALUES ('query', 0, 1, '{}', 2, 2, 0, 2, 0, now(), now(), now())")
        connection.commit()
        later = sorted(path.stem for path in (MIGRATIONS / "postgres").glob("*.sql"))[2:]
        assert migrate_postgres(empty_postgres) == later
        cursor.execute(f"SELECT {', '.join(USER_FIELDS)} FROM analytics.users ORDER BY version")
        assert [str(row[0]) for row in cursor] == [str(user_id(1)), str(user_id(2))]
        cursor.execute("SELECT sum(read) FROM analytics.batches")
        assert cursor.fetchone() == (2,)


def test_a_postgres_file_that_fails_leaves_nothing_behind(empty_postgres: PostgresSettings, tmp_path: Path) -> None:
    (tmp_path / "0001_half.sql").write_text("CREATE SCHEMA staging; CREATE TABLE staging.half (id int); SELECT 1 / 0;")
    with pytest.raises(UserError, match="division by zero"):
        migrate_postgres(empty_postgres, tmp_path)
    assert list_tables(empty_postgres) == set()
    (tmp_path / "0001_half.sql").write_text("CREATE SCHEMA staging; CREATE TABLE staging.half (id int);")
    assert migrate_postgres(empty_postgres, tmp_path) == ["0001_half"]


def test_a_run_killed_while_migrating_does_not_block_the_next(empty_postgres: PostgresSettings) -> None:
    with closing(connections.connect_postgres(empty_postgres, "tests")) as connection, connection.cursor() as cursor:
        cursor.execute("CREATE TABLE yoyo_lock (locked int PRIMARY KEY, ctime timestamp, pid int NOT NULL)")
        cursor.execute("INSERT INTO yoyo_lock VALUES (1, now(), 1)")
        connection.commit()
    assert migrate_postgres(empty_postgres) != []


def test_a_file_that_could_not_be_recorded_is_not_applied(
    empty_postgres: PostgresSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(_Backend, "mark_one", killed)
        with pytest.raises(KeyboardInterrupt):
            migrate_postgres(empty_postgres)
    assert list_tables(empty_postgres) == set()
    assert migrate_postgres(empty_postgres) != []


def test_a_password_of_any_characters_logs_in(empty_postgres: PostgresSettings) -> None:
    password = "p@:/?#[]%20 '\"\\é&="
    with closing(connections.connect_postgres(empty_postgres, "tests")) as connection, connection.cursor() as cursor:
        cursor.execute("CREATE ROLE special LOGIN SUPERUSER PASSWORD %s", (password,))
        connection.commit()
    try:
        other = empty_postgres.model_copy(update={"user": "special", "password": SecretStr(password)})
        assert migrate_postgres(other) != []
        with pytest.raises(UserError, match="refused the login of 'special' to database"):
            migrate_postgres(other.model_copy(update={"password": SecretStr("wrong")}))
    finally:
        with closing(psycopg2.connect(**empty_postgres.connection("tests"))) as connection:
            with connection.cursor() as cursor:
                cursor.execute("REASSIGN OWNED BY special TO CURRENT_USER")
                cursor.execute("DROP ROLE special")
            connection.commit()


def test_servers_that_do_not_answer_are_named_in_one_sentence() -> None:
    port = free_port()
    with pytest.raises(UserError, match=rf"PostgreSQL at 127\.0\.0\.1:{port} .*INSIGHTS_POSTGRES_"):
        migrate_postgres(PostgresSettings(port=port))
    with pytest.raises(UserError, match=rf"No Cassandra node of 127\.0\.0\.1 port {port} .*INSIGHTS_CASSANDRA_"):
        migrate_cassandra(CassandraSettings(port=port))
    with pytest.raises(UserError, match=rf"Kafka at 127\.0\.0\.1:{port} .*INSIGHTS_KAFKA_"):
        ensure_topics(KafkaSettings(bootstrap_servers=f"127.0.0.1:{port}"), timeout_seconds=1)


def describe_topics(admin: AdminClient, topics: list[str]) -> list[tuple[int, str]]:
    futures = admin.describe_configs([ConfigResource(ResourceType.TOPIC, topic) for topic in topics])
    sizes = {resource.name: future.result()["max.message.bytes"].value for resource, future in futures.items()}
    return [(len(admin.list_topics(topic).topics[topic].partitions), sizes[topic]) for topic in topics]


def test_topics_are_created_once_with_the_configured_size(empty_kafka: KafkaSettings) -> None:
    admin = AdminClient(empty_kafka.client())
    topics = [empty_kafka.raw_topic, empty_kafka.quarantine_topic]
    try:
        assert ensure_topics(empty_kafka) == topics
        bigger = empty_kafka.model_copy(update={"max_message_bytes": 2_000_000})
        assert ensure_topics(bigger) == []
        eventually(lambda: describe_topics(admin, topics) == [(empty_kafka.partitions, "2000000")] * 2, seconds=20)
    finally:
        for deleted in admin.delete_topics(topics).values():
            deleted.result(20)


def test_the_keyspace_is_created_and_cassandra_files_are_applied_once(empty_cassandra: CassandraSettings) -> None:
    names = sorted(path.stem for path in (MIGRATIONS / "cassandra").glob("*.cql"))
    with (
        pytest.raises(UserError, match=f"no keyspace {empty_cassandra.keyspace!r}"),
        connections.open_cassandra(empty_cassandra),
    ):
        pass
    assert migrate_cassandra(empty_cassandra) == names
    assert migrate_cassandra(empty_cassandra) == []
    with connections.open_cassandra(empty_cassandra) as session:
        assert session.execute("SELECT count(*) FROM user_profiles_by_id").one().count == 0
        assert refill_record.is_being_filled(session)


def test_concurrent_cassandra_runs_apply_each_file_once(empty_cassandra: CassandraSettings) -> None:
    with ThreadPoolExecutor(2) as pool:
        applied = [name for run in pool.map(migrate_cassandra, [empty_cassandra] * 2) for name in run]
    assert sorted(applied) == sorted(path.stem for path in (MIGRATIONS / "cassandra").glob("*.cql"))


def test_a_changed_cassandra_file_is_rejected(empty_cassandra: CassandraSettings, tmp_path: Path) -> None:
    for path in (MIGRATIONS / "cassandra").glob("*.cql"):
        shutil.copy(path, tmp_path)
    migrate_cassandra(empty_cassandra, tmp_path)
    (tmp_path / "0001_users.cql").write_text("CREATE TABLE IF NOT EXISTS other (id int PRIMARY KEY);\n")
    with pytest.raises(UserError, match=r"0001_users\.cql has changed since it was applied"):
        migrate_cassandra(empty_cassandra, tmp_path)
