"""Create Cassandra's roles and set their declared permissions, if the cluster requires logins."""

import logging
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cassandra import InvalidRequest, Unauthorized
from cassandra.cluster import Session
from pydantic import SecretStr

from insights import failpoints
from insights.clients import connections
from insights.errors import RefusedError, UserError
from insights.migrations.privileges import CASSANDRA, Privilege, group_users_by_role, list_cassandra_privileges
from insights.settings import CassandraSettings

_log = logging.getLogger(__name__)
_VARIABLE = "INSIGHTS_ACCESS_CASSANDRA"
_RESOURCE = re.compile(r"<(?:(?P<kind>keyspace|all tables in|table) )?(?P<keyspace>\w+)(?:\.(?P<table>\w+))?>")


def grant_cassandra(settings: CassandraSettings, roles: Mapping[str, str], passwords: Path | None) -> None:
    """Create the role of each user if it does not exist, set its password, and set its permissions in the keyspace.

    `roles` are role names by user; `passwords` is a directory with a file `<user>/password` for each. The role that
    the migration itself logs in with is left unchanged.

    Raises:
        NotReadyError: no node answers.
        UserError: a password is missing, or the login lacks the permissions for this.
    """
    by_role = group_users_by_role(_VARIABLE, roles, CASSANDRA)
    by_role.pop(settings.username or "", None)
    role_passwords = {role: _read_password(passwords, users[0]) for role, users in by_role.items()}
    try:
        with connections.open_cassandra(settings, use_keyspace=False) as session:
            for role, users in by_role.items():
                _ensure_role(session, settings, role, role_passwords[role])
                _set_permissions(session, role, settings.keyspace, list_cassandra_privileges(users, settings.keyspace))
    except Unauthorized as error:
        if "not anonymous" not in str(error):
            raise _denied(settings, error) from error
        _log.info("Cassandra requires no login: there are no roles to set up")
    except InvalidRequest as error:
        if "not supported by" not in str(error):
            raise _denied(settings, error) from error
        _log.info("Cassandra has no authorizer: every role has all permissions")
    except connections.CASSANDRA_ERRORS as error:
        raise UserError(f"Cassandra failed while the roles were set up ({error}); run the migrations again.") from error


def _read_password(folder: Path | None, user: str) -> str:
    path = (folder or Path()) / user / "password"
    try:
        password = path.read_text(encoding="utf-8").strip() if folder else ""
    except OSError:
        password = ""
    if not password:
        raise UserError(
            f"{_VARIABLE} names a role for {user!r} but INSIGHTS_ACCESS_PASSWORDS has no password for it"
            f" ({path if folder else 'it is not set'}); write one to the file {user}/password in that directory."
        )
    return password


def _ensure_role(session: Session, settings: CassandraSettings, role: str, password: str) -> None:
    """Create the role, and set its password only if it cannot log in: Cassandra rejects frequent changes of a role."""
    options = f"LOGIN = true AND PASSWORD = {_quote_text(password)}"
    session.execute(f"CREATE ROLE IF NOT EXISTS {_quote_name(role)} WITH {options}")
    failpoints.reach("migrate.role_created")
    as_role = settings.model_copy(update={"username": role, "password": SecretStr(password)})
    try:
        with connections.open_cassandra(as_role, use_keyspace=False):
            pass
    except RefusedError:
        session.execute(f"ALTER ROLE {_quote_name(role)} WITH {options}")
        failpoints.reach("migrate.role_password")
        _log.info("role %s: password set", role)


def _set_permissions(session: Session, role: str, keyspace: str, wanted: set[Privilege]) -> None:
    rows = session.execute(f"LIST ALL PERMISSIONS OF {_quote_name(role)} NORECURSIVE")
    held = {privilege for row in rows if (privilege := _parse_permission(row, keyspace))}
    for privilege in sorted(held - wanted):
        session.execute(f"REVOKE {privilege.name} ON {privilege.object} FROM {_quote_name(role)}")
        failpoints.reach("migrate.permission_revoked")
    for privilege in sorted(wanted - held):
        session.execute(f"GRANT {privilege.name} ON {privilege.object} TO {_quote_name(role)}")
        failpoints.reach("migrate.permission_granted")
    if held != wanted:
        _log.info("role %s: permissions updated, %d granted, %d revoked", role, len(wanted - held), len(held - wanted))


def _parse_permission(row: Any, keyspace: str) -> Privilege | None:
    """A listed permission in the terms of GRANT, or None if it is not on this keyspace or a table of it."""
    resource = _RESOURCE.fullmatch(row.resource)
    if resource is None or resource["kind"] is None or resource["keyspace"] != keyspace:
        return None
    kinds = {"keyspace": "KEYSPACE", "all tables in": "ALL TABLES IN KEYSPACE", "table": "TABLE"}
    table = f'."{resource["table"]}"' if resource["table"] else ""
    return Privilege(row.permission, f'{kinds[resource["kind"]]} "{keyspace}"{table}')


def _denied(settings: CassandraSettings, error: Exception) -> UserError:
    return UserError(
        f"Cassandra did not allow {settings.username!r} to set up the roles of keyspace {settings.keyspace!r}"
        f" ({error}); run the migrations as a superuser."
    )


def _quote_name(role: str) -> str:
    doubled = role.replace('"', '""')
    return f'"{doubled}"'


def _quote_text(value: str) -> str:
    doubled = value.replace("'", "''")
    return f"'{doubled}'"
