"""The privileges of each component's login in the stores. The migrations grant exactly these."""

from collections.abc import Mapping
from typing import NamedTuple

from insights.errors import UserError
from insights.model.schema import CASSANDRA_TABLES

_LEDGER = dict.fromkeys(
    (
        *("TABLE staging.batches", "TABLE staging.page_totals", "TABLE staging.pruned", "TABLE staging.publisher"),
        *("TABLE staging.user_keys", "TABLE staging.users", "TABLE quarantine.records"),
        *("TABLE staging.epochs", "TABLE staging.source_pace"),
        *("TABLE analytics.batches", "TABLE analytics.checks", "TABLE analytics.superseded"),
        "TABLE analytics.starting_offsets",
        *("TABLE analytics.user_counts", "TABLE analytics.users", "TABLE analytics.pruned_batches"),
    ),
    "SELECT",
) | {"DATABASE": "CONNECT, TEMPORARY", "FUNCTION staging.current_timeline()": "EXECUTE"}
_EPOCH = {"FUNCTION staging.current_epoch()": "EXECUTE"}

POSTGRES: Mapping[str, Mapping[str, str]] = {
    "ingest": _LEDGER
    | _EPOCH
    | {
        "TABLE staging.batches": "SELECT, INSERT",
        "TABLE staging.page_totals": "SELECT, INSERT, DELETE",
        "TABLE staging.source_pace": "SELECT, INSERT, UPDATE",
        "TABLE staging.user_keys": "SELECT, INSERT",
        "TABLE staging.users": "SELECT, INSERT",
        "SEQUENCE staging.user_ids": "USAGE",
        "TABLE quarantine.records": "SELECT, INSERT",
        "TABLE quarantine.redrives": "SELECT, INSERT",
        "TABLE analytics.batches": "SELECT, DELETE",
        "TABLE analytics.checks": "SELECT, INSERT, DELETE",
        "TABLE analytics.moved": "SELECT, DELETE",
        "TABLE analytics.pruned_batches": "SELECT, INSERT",
        "TABLE analytics.starting_offsets": "SELECT, INSERT",
        "TABLE analytics.verified": "SELECT, INSERT, DELETE",
        "TABLE analytics.verified_counts": "SELECT, INSERT, DELETE",
        "TABLE analytics.verified_records": "SELECT, INSERT, DELETE",
    },
    "publisher": _EPOCH
    | {
        "DATABASE": "CONNECT",
        "TABLE staging.batches": "SELECT",
        "TABLE staging.page_totals": "SELECT",
        "TABLE staging.users": "SELECT",
        "TABLE staging.publisher": "SELECT, INSERT, UPDATE",
        "TABLE quarantine.records": "SELECT, INSERT",
    },
    "stream": {
        "DATABASE": "CONNECT, TEMPORARY",
        "TABLE quarantine.records": "SELECT, INSERT, UPDATE",
        "TABLE analytics.batches": "SELECT, INSERT, UPDATE",
        "TABLE analytics.moved": "SELECT, INSERT, UPDATE",
        "TABLE analytics.starting_offsets": "SELECT, INSERT",
        "TABLE analytics.superseded": "SELECT, INSERT, DELETE",
        "TABLE analytics.user_counts": "SELECT, INSERT, UPDATE",
        "TABLE analytics.users": "SELECT, INSERT, UPDATE, DELETE",
    },
    "dashboard": _LEDGER,
    "reader": {
        "DATABASE": "CONNECT",
        "TABLE analytics.batches": "SELECT",
        "TABLE analytics.user_counts": "SELECT",
        "TABLE analytics.users": "SELECT",
    },
}
"""Privileges by user and object. Those on a partitioned table cover its future partitions. Each user also gets USAGE on
the schemas of its objects, and SELECT on the table of applied migrations. `reader` is for people and notebooks."""

OWNER_MEMBERS = ("ingest",)
"""Users whose role must be a member of the tables' owner, because they create and drop partitions as the owner."""

CASSANDRA: Mapping[str, str] = {
    "ingest": "SELECT",
    "stream": "SELECT, MODIFY",
    "dashboard": "SELECT",
    "reader": "SELECT",
}
"""Permissions by user on every query table. Each user also gets SELECT on the table of applied migrations."""

POSTGRES_SCHEMAS = ("staging", "quarantine", "analytics", "public")
_POSTGRES_MIGRATIONS = ("TABLE public._yoyo_migration", "SELECT")
FORMER_TABLES = ("users_by_id", "users_by_country", "users_by_registration_month")
"""Tables of the former release, which needs its permissions while it is replaced and after a rollback."""
_CASSANDRA_TABLES = (*CASSANDRA_TABLES, *FORMER_TABLES, "user_counts", "refills")
_CASSANDRA_MIGRATIONS = "schema_migrations"


class Privilege(NamedTuple):
    """One privilege on one object, in the terms of GRANT."""

    name: str
    object: str


def list_postgres_privileges(users: list[str], database: str) -> set[Privilege]:
    """The privileges that the users need together; `database` is the quoted name of the database."""
    privileges = set()
    for user in users:
        for target, names in (*POSTGRES[user].items(), _POSTGRES_MIGRATIONS):
            object_ = f"DATABASE {database}" if target == "DATABASE" else target
            privileges |= {Privilege(name, object_) for name in names.split(", ")}
            if target != "DATABASE":
                privileges.add(Privilege("USAGE", f"SCHEMA {target.split()[1].split('.')[0]}"))
    return privileges


def list_cassandra_privileges(users: list[str], keyspace: str) -> set[Privilege]:
    """The permissions that the users need together in the keyspace."""
    privileges = {Privilege("SELECT", f"TABLE {_quote_table(keyspace, _CASSANDRA_MIGRATIONS)}")}
    for user in users:
        for table in _CASSANDRA_TABLES:
            privileges |= {
                Privilege(name, f"TABLE {_quote_table(keyspace, table)}") for name in CASSANDRA[user].split(", ")
            }
    return privileges


def group_users_by_role(
    variable: str, roles: Mapping[str, str], declared: Mapping[str, object]
) -> dict[str, list[str]]:
    """The users of each role; `roles`, the value of `variable`, has the role of each user.

    Raises:
        UserError: a user is not declared.
    """
    users_by_role: dict[str, list[str]] = {}
    for user, role in roles.items():
        if user not in declared:
            raise UserError(f"{variable} names the unknown user {user!r}; name only {', '.join(declared)}.")
        users_by_role.setdefault(role, []).append(user)
    return users_by_role


def _quote_table(keyspace: str, table: str) -> str:
    return f'"{keyspace}"."{table}"'
