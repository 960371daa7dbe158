"""The declared privileges, and the grants to a Cassandra cluster without logins or an authorizer."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from cassandra import InvalidRequest, Unauthorized

from insights.errors import UserError
from insights.migrations import grant_cassandra
from insights.migrations.privileges import (
    CASSANDRA,
    POSTGRES,
    Privilege,
    list_cassandra_privileges,
    list_postgres_privileges,
)
from insights.settings import AccessSettings, CassandraSettings, load

WRITES = {"INSERT", "UPDATE", "DELETE", "TRUNCATE", "MODIFY", "CREATE"}


def test_the_dashboard_only_reads() -> None:
    privileges = list_postgres_privileges(["dashboard"], "insights")
    executed = {privilege.object for privilege in privileges if privilege.name == "EXECUTE"}
    assert executed == {"FUNCTION staging.current_timeline()"}
    assert {privilege.name for privilege in privileges} == {"CONNECT", "TEMPORARY", "USAGE", "SELECT", "EXECUTE"}
    assert {privilege.name for privilege in list_cassandra_privileges(["dashboard"], "insights")} == {"SELECT"}


def test_readers_see_what_is_served_and_no_record_as_it_came() -> None:
    privileges = list_postgres_privileges(["reader"], "insights")
    assert {privilege.name for privilege in privileges} == {"CONNECT", "USAGE", "SELECT"}
    tables = {privilege.object.split()[1] for privilege in privileges if privilege.name == "SELECT"}
    served = {"analytics.users", "analytics.user_counts", "analytics.batches"}
    assert tables == served | {"public._yoyo_migration"}
    assert {privilege.name for privilege in list_cassandra_privileges(["reader"], "insights")} == {"SELECT"}


@pytest.mark.parametrize(
    ("user", "schemas"),
    [
        ("ingest", {"staging", "quarantine", "analytics"}),
        ("publisher", {"staging", "quarantine"}),
        ("stream", {"analytics", "quarantine"}),
    ],
)
def test_each_component_writes_to_its_own_schemas_only(user: str, schemas: set[str]) -> None:
    written = {p.object for p in list_postgres_privileges([user], "insights") if p.name in WRITES}
    assert {name.split()[1].split(".")[0] for name in written} == schemas


def test_users_that_share_a_role_get_the_privileges_of_all() -> None:
    both = list_postgres_privileges(["stream", "publisher"], "d")
    assert both == list_postgres_privileges(["stream"], "d") | list_postgres_privileges(["publisher"], "d")
    assert Privilege("TEMPORARY", "DATABASE d") in both


def test_only_the_stream_writes_to_cassandra_and_not_to_the_migrations() -> None:
    assert {user for user, names in CASSANDRA.items() if "MODIFY" in names} == {"stream"}
    assert set(CASSANDRA) < set(POSTGRES)
    written = {p.object for p in list_cassandra_privileges(["stream"], "k") if p.name == "MODIFY"}
    assert 'TABLE "k"."user_profiles_by_id"' in written
    assert 'TABLE "k"."schema_migrations"' not in written


def test_the_former_release_can_be_rolled_back_to() -> None:
    for user, names in CASSANDRA.items():
        privileges = list_cassandra_privileges([user], "k")
        assert {Privilege(name, 'TABLE "k"."users_by_id"') for name in names.split(", ")} <= privileges


class FakeSession:
    """Raises `error` on the first statement that begins with `verb`, and records every statement."""

    def __init__(self, verb: str, error: Exception) -> None:
        self.verb, self.error = verb, error
        self.statements: list[str] = []

    def execute(self, statement: str) -> list[Any]:
        self.statements.append(statement)
        if statement.startswith(self.verb):
            raise self.error
        return []


def grant(monkeypatch: pytest.MonkeyPatch, passwords: Path, session: FakeSession) -> None:
    @contextmanager
    def connect(*_: object, **__: object) -> Iterator[FakeSession]:
        yield session

    monkeypatch.setattr("insights.clients.connections.open_cassandra", connect)
    (passwords / "stream").mkdir()
    (passwords / "stream" / "password").write_text("it's\n")
    grant_cassandra.grant_cassandra(CassandraSettings(), {"stream": "s"}, passwords)


def test_a_cluster_that_requires_no_login_gets_no_roles(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    anonymous = Unauthorized("You have to be logged in and not anonymous to perform this request")
    session = FakeSession("CREATE ROLE", anonymous)
    grant(monkeypatch, tmp_path, session)
    assert session.statements == ["CREATE ROLE IF NOT EXISTS \"s\" WITH LOGIN = true AND PASSWORD = 'it''s'"]


def test_a_cluster_without_an_authorizer_gets_roles_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    session = FakeSession("LIST", InvalidRequest("LIST PERMISSIONS operation is not supported by AllowAllAuthorizer"))
    grant(monkeypatch, tmp_path, session)
    assert not any(statement.startswith("GRANT") for statement in session.statements)


def test_another_rejected_statement_is_reported(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    session = FakeSession("LIST", InvalidRequest("Resource doesn't exist"))
    with pytest.raises(UserError, match="run the migrations as a superuser"):
        grant(monkeypatch, tmp_path, session)


def test_a_role_without_a_password_is_reported_with_its_file(tmp_path: Path) -> None:
    for folder, reported in ((None, "it is not set"), (tmp_path, str(tmp_path / "stream" / "password"))):
        with pytest.raises(UserError, match=f"no password for it \\({reported}\\)"):
            grant_cassandra.grant_cassandra(CassandraSettings(), {"stream": "s"}, folder)


def test_roles_are_read_from_json(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load(AccessSettings).postgres == {}
    monkeypatch.setenv("INSIGHTS_ACCESS_POSTGRES", '{"stream": "insights_stream"}')
    assert load(AccessSettings).postgres == {"stream": "insights_stream"}
    monkeypatch.setenv("INSIGHTS_ACCESS_POSTGRES", "{stream")
    with pytest.raises(UserError, match=r"INSIGHTS_ACCESS_POSTGRES is '\{stream': set it to a JSON object of roles"):
        load(AccessSettings)
