"""Crash in every window of a migration, one after the other on the same stores; the end is that of one clean run."""

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from insights.clients import connections
from insights.settings import CassandraSettings, PostgresSettings, StoreSettings, to_environment
from tests.fault.flow_under_test import run_program
from tests.fault.windows import MIGRATING
from tests.helpers import fresh_stores
from tests.helpers.component_logins import Logins, drop_logins, make_logins
from tests.helpers.staged_pages import run_sql

MIGRATE = ("jobs/migrate.py", "--topics")
PASSWORD_SECONDS = 5.5
"""Cassandra refuses a second change of a role's password within 5 seconds."""


@pytest.fixture(scope="module")
def fresh(
    tmp_path_factory: pytest.TempPathFactory, postgres_server: Any, kafka_server: Any, cassandra_server: Any
) -> Iterator[Logins]:
    """Logins to stores without tables or topics."""
    with (
        fresh_stores.create_database(postgres_server) as postgres,
        fresh_stores.name_keyspace(cassandra_server) as cassandra,
    ):
        superuser = StoreSettings(postgres, fresh_stores.name_topics(kafka_server), cassandra)
        logins = make_logins(superuser, tmp_path_factory.mktemp("passwords"))
        yield logins
        drop_logins(superuser, logins)


@pytest.fixture(scope="module")
def environment(fresh: Logins) -> dict[str, str]:
    owner = fresh.owner
    return {
        **to_environment(owner.postgres, owner.kafka, owner.cassandra),
        "INSIGHTS_ACCESS_POSTGRES": json.dumps(fresh.postgres_roles),
        "INSIGHTS_ACCESS_CASSANDRA": json.dumps(fresh.cassandra_roles),
        "INSIGHTS_ACCESS_PASSWORDS": str(fresh.passwords),
    }


@pytest.mark.parametrize("window", MIGRATING)
def test_a_crash_during_a_migration(fresh: Logins, environment: dict[str, str], window: str) -> None:
    prepare_window(fresh, window)
    run_program(MIGRATE, environment, window)


def test_the_migration_resumes_and_reaches_the_state_of_a_clean_one(
    fresh: Logins, environment: dict[str, str], own_stores: StoreSettings
) -> None:
    run_program(MIGRATE, environment)
    again = run_program(MIGRATE, environment)
    assert "applied" not in again
    assert "updated" not in again
    assert list_columns(fresh.owner.postgres) == list_columns(own_stores.postgres)
    assert list_tables(fresh.owner.cassandra) == list_tables(own_stores.cassandra)


def prepare_window(logins: Logins, window: str) -> None:
    """Bring the stores into the state in which a migration passes the window, and free the lock of the crash before."""
    cassandra = logins.owner.cassandra
    user, role = next(iter(logins.cassandra_roles.items()))
    statements = {
        "migrate.cassandra_file": "DELETE FROM schema_lock WHERE name = 'migrate' IF EXISTS",
        "migrate.role_created": "DELETE FROM schema_lock WHERE name = 'migrate' IF EXISTS",
        "migrate.permission_revoked": f'GRANT DROP ON KEYSPACE "{cassandra.keyspace}" TO "{role}"',
    }
    if window in statements:
        with connections.open_cassandra(cassandra) as session:
            session.execute(statements[window])
    if window == "migrate.role_password":
        (logins.passwords / user / "password").write_text("changed\n")
        time.sleep(PASSWORD_SECONDS)


def list_columns(settings: PostgresSettings) -> list[tuple[Any, ...]]:
    return run_sql(
        settings,
        "SELECT table_schema, table_name, column_name, data_type, is_nullable FROM information_schema.columns"
        " WHERE table_schema IN ('staging', 'quarantine', 'analytics') AND table_name !~ '^users_[0-9]+$'"
        " ORDER BY 1, 2, 3",
    )


def list_tables(settings: CassandraSettings) -> list[tuple[Any, ...]]:
    query = "SELECT table_name, column_name, type, kind FROM system_schema.columns WHERE keyspace_name = %s"
    with connections.open_cassandra(settings) as session:
        return sorted(tuple(row) for row in session.execute(query, (settings.keyspace,)))
