"""A node whose certificate contains names, but not the address at which the driver connects to it."""

from typing import Any

import pytest

from insights.clients import connections
from insights.errors import RefusedError
from insights.settings import CassandraSettings


@pytest.fixture
def settings(empty_cassandra: CassandraSettings, cassandra_server: Any) -> CassandraSettings:
    return empty_cassandra.model_copy(update={"ca_file": cassandra_server.authority})


@pytest.mark.parametrize("change", [{"server_name": "cassandra.test"}, {"hosts": "localhost"}])
def test_a_node_is_trusted_by_the_name_in_its_certificate(settings: CassandraSettings, change: dict[str, str]) -> None:
    with connections.open_cassandra(settings.model_copy(update=change), use_keyspace=False) as session:
        endpoint = session.hosts[0].endpoint
        assert endpoint.ssl_options == {"server_hostname": change.get("server_name", "localhost")}
        assert session.execute("SELECT release_version FROM system.local").one() is not None


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"server_name": "other.test"}, "other.test"),
        ({"server_name": "other.test", "hosts": "localhost"}, "other.test"),
        ({}, "127.0.0.1"),
    ],
)
def test_a_node_with_a_certificate_for_another_host_is_refused(
    settings: CassandraSettings, change: dict[str, str], name: str
) -> None:
    refusal = rf"certificate for another host .*not valid for '{name}'.*set INSIGHTS_CASSANDRA_SERVER_NAME"
    opened = connections.open_cassandra(settings.model_copy(update=change), use_keyspace=False)
    with pytest.raises(RefusedError, match=refusal), opened:
        pass
