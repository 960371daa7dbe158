"""Each component's logins, as operators make them: the database's owner is no superuser, Cassandra has none yet."""

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

PASSWORD = 'it\'s a "password"; --'


@dataclass(frozen=True)
class Logins:
    """The stores as the migrations' logins see them, and the names of everyone else's roles."""

    owner: StoreSettings
    postgres_roles: dict[str, str]
    cassandra_roles: dict[str, str]
    passwords: Path
    """Folder of the passwords of Cassandra's roles."""

    def of(self, user: str) -> StoreSettings:
        """The stores by the user's own logins; without one, by a login that none knows."""
        secret = SecretStr(PASSWORD)
        postgres = {"user": self.postgres_roles[user], "password": secret}
        cassandra = {"username": self.cassandra_roles.get(user, "nobody"), "password": secret}
        return StoreSettings(
            self.owner.postgres.model_copy(update=postgres),
            self.owner.kafka,
            self.owner.cassandra.model_copy(update=cassandra),
        )

    def migrate(self) -> None:
        migrate_postgres(self.owner.postgres)
        migrate_cassandra(self.owner.cassandra)
        self.grant()

    def grant(self) -> None:
        grant_postgres(self.owner.postgres, self.postgres_roles)
        grant_cassandra(self.owner.cassandra, self.cassandra_roles, self.passwords)


def make_logins(superuser: StoreSettings, folder: Path) -> Logins:
    """Roles of names of their own; the test's database gets a new owner."""
    mark = uuid.uuid4().hex[:8]
    owner = f"owner-{mark}"
    roles = {user: f"{user}-{mark}" for user in POSTGRES}
    database = superuser.postgres.dbname
    administer(
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
    cassandra_roles = {user: f"{user}_{mark}" for user in CASSANDRA}
    return Logins(StoreSettings(postgres, superuser.kafka, superuser.cassandra), roles, cassandra_roles, folder)


def drop_logins(superuser: StoreSettings, logins: Logins) -> None:
    """Take PostgreSQL's roles away with all they own."""
    for role in (*logins.postgres_roles.values(), logins.owner.postgres.user):
        administer(superuser, f'REASSIGN OWNED BY "{role}" TO CURRENT_USER')
        administer(superuser, f'DROP OWNED BY "{role}"', f'DROP ROLE "{role}"')


def administer(superuser: StoreSettings, *statements: str) -> None:
    with closing(psycopg2.connect(**superuser.postgres.connection("tests"))) as connection:
        connection.autocommit = True
        for statement in statements:
            _execute(connection, statement)


def _execute(connection: Any, statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement)
