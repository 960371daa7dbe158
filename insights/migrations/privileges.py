"""What each component's login may do in the stores: declared here, set by the migrations, nothing else left."""

from collections.abc import Mapping
from typing import NamedTuple

from insights.errors import UserError
from insights.model.schema import CASSANDRA_TABLES

_LEDGER = dict.fromkeys(
    (
        *("TABLE staging.batches", "TABLE staging.pruned", "TABLE staging.publisher"),
        *("TABLE staging.user_keys", "TABLE staging.users", "TABLE quarantine.records"),
        *("TABLE analytics.batches", "TABLE analytics.superseded"),
        *("TABLE analytics.user_counts", "TABLE analytics.users", "TABLE analytics.pruned_batches"),
    ),
    "SELECT",
) | {"DATABASE": "CONNECT, TEMPORARY"}
_EPOCH = {"FUNCTION staging.current_epoch()": "EXECUTE", "TABLE staging.epochs": "SELECT, INSERT"}

POSTGRES: Mapping[str, Mapping[str, str]] = {
    "ingest": _LEDGER
    | _EPOCH
    | {
        "TABLE staging.batches": "SELECT, INSERT",
        "TABLE staging.user_keys": "SELECT, INSERT",
        "TABLE staging.users": "SELECT, INSERT",
        "SEQUENCE staging.user_ids": "USAGE",
        "TABLE analytics.batches": "SELECT, DELETE",
        "TABLE analytics.moved": "SELECT, DELETE",
        "TABLE analytics.pruned_batches": "SELECT, INSERT",
    },
    "publisher": _EPOCH
    | {
        "DATABASE": "CONNECT",
        "TABLE staging.batches": "SELECT",
        "TABLE staging.users": "SELECT",
        "TABLE staging.publisher": "SELECT, INSERT, UPDATE",
        "TABLE quarantine.records": "SELECT, INSERT",
    },
    "stream": {
        "DATABASE": "CONNECT, TEMPORARY",
        "TABLE quarantine.records": "SELECT, INSERT, UPDATE",
        "TABLE analytics.batches": "SELECT, INSERT, UPDATE",
        "TABLE analytics.moved": "SELECT, INSERT, UPDATE",
        "TABLE analytics.superseded": "SELECT, INSERT, DELETE",
        "TABLE analytics.user_counts": "SELECT, INSERT, UPDATE",
        "TABLE analytics.users": "SELECT, INSERT, UPDATE",
    },
    "dashboard": _LEDGER,
}
"""Privileges by user and object. A parent's hold for the partitions that come; beside these, each user may enter the
schemas of its objects and read which migrations were applied."""

OWNER_MEMBERS = ("ingest",)
"""Users whose role must be a member of the tables' owner, as whom they create and drop partitions."""

CASSANDRA: Mapping[str, str] = {"ingest": "SELECT", "stream": "SELECT, MODIFY", "dashboard": "SELECT"}
"""Permissions by user on every table that is served; beside these, each may read which migrations were applied."""

POSTGRES_SCHEMAS = ("staging", "quarantine", "analytics", "public")
_POSTGRES_MIGRATIONS = ("TABLE public._yoyo_migration", "SELECT")
_CASSANDRA_TABLES = (*CASSANDRA_TABLES, "user_counts")
_CASSANDRA_MIGRATIONS = "schema_migrations"


class Privilege(NamedTuple):
    """One privilege on one object, in the words of GRANT."""

    name: str
    object: str


def list_postgres_privileges(users: list[str], database: str) -> set[Privilege]:
    """What the users together need; `database` is the quoted name of the database."""
    found = set()
    for user in users:
        for what, names in (*POSTGRES[user].items(), _POSTGRES_MIGRATIONS):
            target = f"DATABASE {database}" if what == "DATABASE" else what
            found |= {Privilege(name, target) for name in names.split(", ")}
            if what != "DATABASE":
                found.add(Privilege("USAGE", f"SCHEMA {what.split()[1].split('.')[0]}"))
    return found


def list_cassandra_privileges(users: list[str], keyspace: str) -> set[Privilege]:
    """What the users together need in the keyspace."""
    found = {Privilege("SELECT", f"TABLE {_table(keyspace, _CASSANDRA_MIGRATIONS)}")}
    for user in users:
        for table in _CASSANDRA_TABLES:
            found |= {Privilege(name, f"TABLE {_table(keyspace, table)}") for name in CASSANDRA[user].split(", ")}
    return found


def group_users_by_role(
    variable: str, roles: Mapping[str, str], declared: Mapping[str, object]
) -> dict[str, list[str]]:
    """The users of each role, from the variable's roles of each user.

    Raises:
        UserError: a user is none that is declared.
    """
    found: dict[str, list[str]] = {}
    for user, role in roles.items():
        if user not in declared:
            raise UserError(f"{variable} names the user {user!r}; name only {', '.join(declared)}.")
        found.setdefault(role, []).append(user)
    return found


def _table(keyspace: str, table: str) -> str:
    return f'"{keyspace}"."{table}"'
