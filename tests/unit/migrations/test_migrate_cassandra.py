import re
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
from cassandra import InvalidRequest, OperationTimedOut, Unauthorized
from cassandra.cluster import NoHostAvailable

from insights.clients import connections
from insights.errors import NotReadyError, UserError
from insights.migrations import MIGRATIONS
from insights.migrations.kafka_topics import ensure_topics
from insights.migrations.migrate_cassandra import migrate_cassandra, split_cql_statements
from insights.model.schema import CASSANDRA_TABLES
from insights.settings import CassandraSettings, KafkaSettings
from tests.helpers.support import free_port


def test_a_cql_file_splits_at_semicolons_that_end_a_line() -> None:
    text = "-- a note; with a semicolon;\nCREATE TABLE a (\n  b text\n);\n\nINSERT INTO a (b) VALUES ('x;y');\n"
    assert split_cql_statements(text) == ["CREATE TABLE a (\n  b text\n)", "INSERT INTO a (b) VALUES ('x;y')"]


def test_every_statement_for_cassandra_is_idempotent() -> None:
    files = sorted((MIGRATIONS / "cassandra").glob("*.cql"))
    statements = [statement for path in files for statement in split_cql_statements(path.read_text())]
    assert len(statements) >= 5
    idempotent = re.compile(
        r"CREATE (TABLE|TYPE) IF NOT EXISTS |ALTER TABLE \w+ ADD IF NOT EXISTS |DROP TABLE IF EXISTS |DELETE |INSERT "
    )
    assert [statement for statement in statements if not idempotent.match(statement)] == []


def test_no_migration_drops_a_table_that_is_written() -> None:
    """A process that was paused beyond its lock may drop a table again, when another has filled it."""
    files = (MIGRATIONS / "cassandra").glob("*.cql")
    dropped = {name for path in files for name in re.findall(r"DROP TABLE IF EXISTS (\w+)", path.read_text())}
    assert dropped == {"user_profiles"}
    assert not dropped & CASSANDRA_TABLES.keys()


def test_a_broker_that_does_not_answer_is_one_sentence_without_the_clients_own_log(
    capfd: pytest.CaptureFixture[str],
) -> None:
    address = f"127.0.0.1:{free_port()}"
    with pytest.raises(NotReadyError, match=address):
        ensure_topics(KafkaSettings(bootstrap_servers=address), timeout_seconds=1)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (OperationTimedOut(), NotReadyError),
        (NoHostAvailable("away", {}), NotReadyError),
        (InvalidRequest("no such strategy"), UserError),
        (Unauthorized("no permission"), UserError),
    ],
)
def test_a_migration_may_be_repeated_after_an_outage_only(
    monkeypatch: pytest.MonkeyPatch, error: Exception, kind: type[Exception]
) -> None:
    def execute(*_: Any) -> None:
        raise error

    @contextmanager
    def open_session(*_: Any, **__: Any) -> Iterator[Any]:
        yield SimpleNamespace(execute=execute, cluster=SimpleNamespace())

    monkeypatch.setattr(connections, "open_cassandra", open_session)
    with pytest.raises(UserError, match="keyspace 'insights'") as raised:
        migrate_cassandra(CassandraSettings())
    assert raised.type is kind
