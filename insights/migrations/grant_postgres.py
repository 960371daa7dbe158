"""Set the declared privileges in PostgreSQL. The owner of the tables can do so; no superuser is required."""

import logging
from collections.abc import Mapping
from contextlib import closing
from typing import Any

import psycopg2
from psycopg2.extensions import cursor as PgCursor
from psycopg2.extensions import quote_ident

from insights import failpoints
from insights.clients import connections
from insights.clients.sql import fetch_row
from insights.errors import NotReadyError, UserError
from insights.migrations.privileges import (
    OWNER_MEMBERS,
    POSTGRES,
    POSTGRES_SCHEMAS,
    Privilege,
    group_users_by_role,
    list_postgres_privileges,
)
from insights.settings import PostgresSettings

_log = logging.getLogger(__name__)
_VARIABLE = "INSIGHTS_ACCESS_POSTGRES"

_SELECT_OWNER = "SELECT tableowner FROM pg_tables WHERE schemaname = 'staging' AND tablename = 'users'"
_SELECT_PRIVILEGES = """
    SELECT a.privilege_type, o.name FROM (
        SELECT format('DATABASE %%I', datname), datacl FROM pg_database WHERE datname = current_database()
        UNION ALL SELECT format('SCHEMA %%I', nspname), nspacl FROM pg_namespace WHERE nspname = ANY(%(schemas)s)
        UNION ALL SELECT format('%%s %%I.%%I', CASE relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END, nspname,
            relname), relacl
            FROM pg_class JOIN pg_namespace AS n ON n.oid = relnamespace WHERE nspname = ANY(%(schemas)s)
        UNION ALL SELECT format('FUNCTION %%I.%%I(%%s)', nspname, proname, pg_get_function_identity_arguments(p.oid)),
            proacl FROM pg_proc AS p JOIN pg_namespace AS n ON n.oid = pronamespace WHERE nspname = ANY(%(schemas)s)
    ) AS o(name, acl), aclexplode(o.acl) AS a WHERE a.grantee = (SELECT oid FROM pg_roles WHERE rolname = %(role)s)
"""


def grant_postgres(settings: PostgresSettings, roles: Mapping[str, str]) -> None:
    """Grant the role of each user its declared privileges and revoke all others, in one transaction.

    `roles` are names of login roles by user. A role that owns the tables has every privilege and is left unchanged.

    Raises:
        NotReadyError: the server does not answer, or a role or its membership does not exist yet.
        UserError: the login lacks the rights for this.
    """
    by_role = group_users_by_role(_VARIABLE, roles, POSTGRES)
    with closing(connections.connect_postgres(settings, "access")) as connection:
        try:
            with connection, connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended('insights.migrate', 0))")
                owner = _fetch_value(cursor, _SELECT_OWNER)
                database = _fetch_value(cursor, "SELECT quote_ident(current_database())")
                for role, users in by_role.items():
                    if role != owner:
                        _check_role(cursor, role, users, owner)
                        _set_privileges(cursor, role, list_postgres_privileges(users, database))
        except psycopg2.Error as error:
            raise UserError(
                f"PostgreSQL did not allow {settings.user!r} to set the privileges of database {settings.dbname!r}"
                f" ({str(error).strip().splitlines()[0]}); run the migrations as the database's owner."
            ) from error
    failpoints.reach("migrate.postgres_granted")


def _check_role(cursor: PgCursor, role: str, users: list[str], owner: str) -> None:
    if _fetch_value(cursor, "SELECT count(*) FROM pg_roles WHERE rolname = %s", role) == 0:
        raise NotReadyError(
            f"PostgreSQL has no role {role!r}, which {_VARIABLE} names for {users[0]!r};"
            " create it with LOGIN or name another."
        )
    if set(users) & set(OWNER_MEMBERS) and not _fetch_value(
        cursor, "SELECT pg_has_role(%s, %s, 'MEMBER')", role, owner
    ):
        raise NotReadyError(
            f"PostgreSQL's role {role!r} is not a member of {owner!r}, the owner of the partitions that {users[0]}"
            " creates and drops; have an administrator run:"
            f" GRANT {quote_ident(owner, cursor)} TO {quote_ident(role, cursor)}."
        )


def _set_privileges(cursor: PgCursor, role: str, wanted: set[Privilege]) -> None:
    held = _read_privileges(cursor, role)
    name = quote_ident(role, cursor)
    for privilege in sorted(held - wanted):
        cursor.execute(f"REVOKE {privilege.name} ON {privilege.object} FROM {name}")
    for privilege in sorted(wanted - held):
        cursor.execute(f"GRANT {privilege.name} ON {privilege.object} TO {name}")
    if held == wanted:
        return
    for privilege in sorted(wanted ^ _read_privileges(cursor, role)):
        raise UserError(
            f"PostgreSQL did not change {privilege.name} on {privilege.object} for role {role!r};"
            " run the migrations as the owner of the database and its tables."
        )
    _log.info("role %s: privileges updated, %d granted, %d revoked", role, len(wanted - held), len(held - wanted))


def _read_privileges(cursor: PgCursor, role: str) -> set[Privilege]:
    cursor.execute(_SELECT_PRIVILEGES, {"schemas": list(POSTGRES_SCHEMAS), "role": role})
    return {Privilege(*row) for row in cursor.fetchall()}


def _fetch_value(cursor: PgCursor, query: str, *parameters: str) -> Any:
    cursor.execute(query, parameters)
    return fetch_row(cursor)[0]
