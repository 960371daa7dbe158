"""A server that refuses the login is distinguished from one that is not ready."""

import socket
from typing import Any

import psycopg2
import pytest
from cassandra import AuthenticationFailed
from cassandra.cluster import NoHostAvailable

from insights.clients import connections
from insights.errors import NotReadyError, RefusedError
from insights.settings import CassandraSettings, PostgresSettings

AT = 'connection to server at "db", port 5432 failed: '
BAD = 'Failed to authenticate to db: Error from server: code=0100 [Bad credentials] message="{}"'


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        (f'{AT}FATAL:  password authentication failed for user "u"', RefusedError),
        (f'{AT}FATAL:  role "u" does not exist', RefusedError),
        (f'{AT}FATAL:  role "u" is not permitted to log in', RefusedError),
        (f'{AT}FATAL:  no pg_hba.conf entry for host "::1", user "u", database "d", no encryption', RefusedError),
        (f'{AT}FATAL:  permission denied for database "d"', RefusedError),
        (f"{AT}fe_sendauth: no password supplied", RefusedError),
        (f"{AT}SSL error: certificate verify failed", RefusedError),
        (f"{AT}server does not support SSL, but SSL was required", RefusedError),
        (f"{AT}FATAL:  the database system is starting up", NotReadyError),
        (f'{AT}FATAL:  database "d" does not exist', NotReadyError),
        (f"{AT}FATAL:  sorry, too many clients already", NotReadyError),
        (f"{AT}Connection refused", NotReadyError),
        ('could not translate host name "db" to address: Name or service not known', NotReadyError),
        (f"{AT}timeout expired", NotReadyError),
    ],
)
def test_postgresql_refuses_or_is_not_ready(
    monkeypatch: pytest.MonkeyPatch, reason: str, kind: type[Exception]
) -> None:
    def connect(**_: object) -> None:
        raise psycopg2.OperationalError(reason + "\n")

    monkeypatch.setattr(psycopg2, "connect", connect)
    with pytest.raises(kind) as raised:
        connections.connect_postgres(PostgresSettings(host="db"), "tests")
    assert reason in str(raised.value)


@pytest.mark.parametrize(
    ("cause", "kind"),
    [
        (AuthenticationFailed(BAD.format("Provided username u and/or password are incorrect")), RefusedError),
        (AuthenticationFailed("Remote end requires authentication"), RefusedError),
        (AuthenticationFailed(BAD.format("Unable to perform authentication: timed out")), NotReadyError),
        (ConnectionRefusedError(111, "Connection refused"), NotReadyError),
    ],
)
def test_cassandra_refuses_or_is_not_ready(
    monkeypatch: pytest.MonkeyPatch, cause: Exception, kind: type[Exception]
) -> None:
    class Cluster:
        def connect(self) -> Any:
            raise NoHostAvailable("Unable to connect to any servers", {"db": cause})

        def shutdown(self) -> None:
            """There is nothing to close."""

    monkeypatch.setattr(connections, "make_cassandra_cluster", lambda _: Cluster())
    with pytest.raises(kind) as raised, connections.open_cassandra(CassandraSettings(hosts="db")):
        pass
    assert str(cause) in str(raised.value)


def test_requests_to_cassandra_do_not_wait_for_acknowledgements_of_earlier_ones() -> None:
    cluster = connections.make_cassandra_cluster(CassandraSettings(hosts="127.0.0.1"))
    assert (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1) in cluster.sockopts
