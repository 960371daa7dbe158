"""Each component's logins, as operators create them: the database's owner is not a superuser, Cassandra has none."""

import uuid
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg2
from pydantic import SecretStr

from insights.migrations.grant_cassandra import grant_cassandra
from insights.migrations.grant_postgres import grant_postgres
from insights.migrations.migrate_cassandra import migrate_cassandra
from insights.migrations.migrate_postgres import migrate_postgres
from insights.migrations.privileges import CASSANDRA, POSTGRES
from insights.settings import StoreSettings
from tests.helpers.staged_pages import run_sql
from tests.helpers.support import eventually

PASSWORD = 'it\'s a "password"; --'


@dataclass(frozen=True)
class Logins:
    """The stores with the logins of the migrations, and the roles of all other users."""

    owner: StoreSettings
    postgres_roles: dict[str, str]
    cassandra_roles: dict[str, str]
    passwords: Path
    """Directory of the passwords of Cassandra's roles."""

    def of(self, user: str) -> StoreSettings:
        """The stores with the user's own logins, or with an unknown login if it has none."""
        secret = SecretStr(PASSWORD)
        postgres = {"user": self.postgres_roles[user], "password": secret}
        cassandra = {"username": self.cassandra_roles.get(user, "nobody"), "password": secret}
        return StoreSettings(
            self.owner.postgres.model_copy(update=postgres),
            self.owner.kafka,
            self.owner.cassandra.model_copy(update=cassandra),
        )

    def migrate(self) -> None:
        """Run the migrations and set the privileges."""
        migrate_postgres(self.owner.postgres)
        migrate_cassandra(self.owner.cassandra)
        self.grant()

    def grant(self) -> None:
        """Set the privileges of all roles."""
        grant_postgres(self.owner.postgres, self.postgres_roles)
        grant_cassandra(self.owner.cassandra, self.cassandra_roles, self.passwords)


def make_logins(superuser: StoreSettings, folder: Path) -> Logins:
    """Create roles with unique names, and make one of them the owner of the test's database."""
    suffix = uuid.uuid4().hex[:8]
    owner = f"owner-{suffix}"
    roles = {user: f"{user}-{suffix}" for user in POSTGRES}
    database = superuser.postgres.dbname
    execute_as_superuser(
        superuser,
        *(
            f"CREATE ROLE \"{role}\" LOGIN PASSWORD '{PASSWORD.replace(chr(39), 2 * chr(39))}'"
            for role in (owner, *roles.values())
        ),
        f'GRANT "{owner}" TO "{roles["ingest"]}"',
        f'ALTER DATABASE "{database}" OWNER TO "{owner}"',
    )
    for user in CASSANDRA:
        (folder / user).mkdir()
        (folder / user / "password").write_text(PASSWORD + "\n")
    postgres = superuser.postgres.model_copy(update={"user": owner, "password": SecretStr(PASSWORD)})
    cassandra_roles = {user: f"{user}_{suffix}" for user in CASSANDRA}
    return Logins(StoreSettings(postgres, superuser.kafka, superuser.cassandra), roles, cassandra_roles, folder)


def drop_logins(superuser: StoreSettings, logins: Logins) -> None:
    """Drop PostgreSQL's roles and all that they own, once their sessions and temporary tables are gone."""
    roles = [*logins.postgres_roles.values(), logins.owner.postgres.user]
    sessions = "SELECT pid FROM pg_stat_activity WHERE usename = ANY(%s)"
    eventually(lambda: not run_sql(superuser.postgres, sessions, roles))
    for role in roles:
        execute_as_superuser(superuser, f'REASSIGN OWNED BY "{role}" TO CURRENT_USER')
        execute_as_superuser(superuser, f'DROP OWNED BY "{role}"', f'DROP ROLE "{role}"')


def execute_as_superuser(superuser: StoreSettings, *statements: str) -> None:
    """Execute each statement in a transaction of its own."""
    with closing(psycopg2.connect(**superuser.postgres.connection("tests"))) as connection:
        connection.autocommit = True
        for statement in statements:
            _execute(connection, statement)


def _execute(connection: Any, statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement)
