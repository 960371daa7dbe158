"""Create Cassandra's roles and set their declared permissions, where the cluster asks for logins."""

import logging
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cassandra import InvalidRequest, Unauthorized
from cassandra.cluster import Session
from pydantic import SecretStr

from insights.clients import connections
from insights.errors import RefusedError, UserError
from insights.migrations.privileges import CASSANDRA, Privilege, group_users_by_role, list_cassandra_privileges
from insights.settings import CassandraSettings

_log = logging.getLogger(__name__)
_VARIABLE = "INSIGHTS_ACCESS_CASSANDRA"
_RESOURCE = re.compile(r"<(?:(?P<kind>keyspace|all tables in|table) )?(?P<keyspace>\w+)(?:\.(?P<table>\w+))?>")


def grant_cassandra(settings: CassandraSettings, roles: Mapping[str, str], passwords: Path | None) -> None:
    """Create the role of each user where absent, with its file's password, and set its permissions in the keyspace.

    `roles` are names by user; `passwords` holds `<user>/password` files. The role that we log in by stays as it is.

    Raises:
        NotReadyError: no server answers.
        UserError: a password is missing, or our login may not do this; names the remedy.
    """
    by_role = group_users_by_role(_VARIABLE, roles, CASSANDRA)
    by_role.pop(settings.username or "", None)
    secrets = {role: _password(passwords, users[0]) for role, users in by_role.items()}
    try:
        with connections.open_cassandra(settings, use_keyspace=False) as session:
            for role, users in by_role.items():
                _ensure_role(session, settings, role, secrets[role])
                _set(session, role, settings.keyspace, list_cassandra_privileges(users, settings.keyspace))
    except Unauthorized as error:
        if "not anonymous" not in str(error):
            raise _refused(settings, error) from error
        _log.info("Cassandra asks for no login: it has no roles to set up")
    except InvalidRequest as error:
        if "not supported by" not in str(error):
            raise _refused(settings, error) from error
        _log.info("Cassandra has no authorizer: its roles may do everything")
    except connections.CASSANDRA_ERRORS as error:
        raise UserError(f"Cassandra did not finish setting up roles ({error}); run the migrations again.") from error


def _password(folder: Path | None, user: str) -> str:
    path = (folder or Path()) / user / "password"
    try:
        password = path.read_text(encoding="utf-8").strip() if folder else ""
    except OSError:
        password = ""
    if not password:
        raise UserError(
            f"{_VARIABLE} names a role for {user!r} and INSIGHTS_ACCESS_PASSWORDS has no password for it"
            f" ({path if folder else 'it is not set'}); put one in that file of the folder."
        )
    return password


def _ensure_role(session: Session, settings: CassandraSettings, role: str, password: str) -> None:
    """A role whose password is right is left alone: Cassandra refuses changes that follow each other within seconds."""
    options = f"LOGIN = true AND PASSWORD = {_text(password)}"
    session.execute(f"CREATE ROLE IF NOT EXISTS {_name(role)} WITH {options}")
    own = settings.model_copy(update={"username": role, "password": SecretStr(password)})
    try:
        with connections.open_cassandra(own, use_keyspace=False):
            pass
    except RefusedError:
        session.execute(f"ALTER ROLE {_name(role)} WITH {options}")
        _log.info("role %s: password set", role)


def _set(session: Session, role: str, keyspace: str, wanted: set[Privilege]) -> None:
    rows = session.execute(f"LIST ALL PERMISSIONS OF {_name(role)} NORECURSIVE")
    held = {privilege for row in rows if (privilege := _privilege(row, keyspace))}
    for privilege in sorted(held - wanted):
        session.execute(f"REVOKE {privilege.name} ON {privilege.object} FROM {_name(role)}")
    for privilege in sorted(wanted - held):
        session.execute(f"GRANT {privilege.name} ON {privilege.object} TO {_name(role)}")
    if held != wanted:
        _log.info("role %s: %d permissions given, %d taken", role, len(wanted - held), len(held - wanted))


def _privilege(row: Any, keyspace: str) -> Privilege | None:
    """A listed permission, in the words of GRANT, if it is on this keyspace or a table of it."""
    found = _RESOURCE.fullmatch(row.resource)
    if found is None or found["kind"] is None or found["keyspace"] != keyspace:
        return None
    kinds = {"keyspace": "KEYSPACE", "all tables in": "ALL TABLES IN KEYSPACE", "table": "TABLE"}
    table = f'."{found["table"]}"' if found["table"] else ""
    return Privilege(row.permission, f'{kinds[found["kind"]]} "{keyspace}"{table}')


def _refused(settings: CassandraSettings, error: Exception) -> UserError:
    return UserError(
        f"Cassandra did not let {settings.username!r} set up the roles of keyspace {settings.keyspace!r} ({error});"
        " run the migrations as a superuser."
    )


def _name(role: str) -> str:
    doubled = role.replace('"', '""')
    return f'"{doubled}"'


def _text(value: str) -> str:
    doubled = value.replace("'", "''")
    return f"'{doubled}'"
