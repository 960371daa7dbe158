"""The name that is checked in the certificate of each node."""

from pathlib import Path

import pytest
from cassandra import UnresolvableContactPoints
from cassandra.connection import DefaultEndPoint

from insights.clients import connections
from insights.clients.cassandra_tls import NamedEndPoints
from insights.errors import UserError
from insights.settings import CassandraSettings


class Translator:
    def translate(self, address: str) -> str:
        return address


class Cluster:
    address_translator = Translator()


def endpoints(hosts: str, server_name: str | None = None) -> NamedEndPoints:
    factory = NamedEndPoints(CassandraSettings(hosts=hosts, server_name=server_name))
    factory.configure(Cluster())
    return factory


def peer(address: str) -> dict[str, object]:
    return {"native_address": address, "native_port": 9142}


def test_a_host_of_the_settings_is_checked_by_its_name_and_a_discovered_node_by_its_address() -> None:
    factory = endpoints(hosts="localhost, 127.0.0.2")
    names = {one.address: one.ssl_options["server_hostname"] for one in factory.contact_points()}
    assert names["127.0.0.1"] == "localhost"
    assert names["127.0.0.2"] == "127.0.0.2"
    assert factory.create(peer("127.0.0.1")).ssl_options == {"server_hostname": "localhost"}
    assert factory.create(peer("192.0.2.7")).ssl_options == {"server_hostname": "192.0.2.7"}


def test_one_server_name_holds_for_every_node() -> None:
    factory = endpoints(hosts="localhost", server_name="cassandra.example.org")
    nodes = [*factory.contact_points(), factory.create(peer("192.0.2.7"))]
    assert {one.ssl_options["server_hostname"] for one in nodes} == {"cassandra.example.org"}


def test_the_driver_knows_a_node_by_its_address_and_port_alone() -> None:
    endpoint = endpoints(hosts="127.0.0.2").create(peer("127.0.0.1"))
    assert endpoint == DefaultEndPoint("127.0.0.1", 9142)


def test_hosts_that_do_not_resolve_are_reported() -> None:
    with pytest.raises(UnresolvableContactPoints):
        endpoints(hosts="nowhere.invalid")


def test_a_file_of_authorities_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    settings = CassandraSettings(ca_file=tmp_path / "absent.crt")
    with pytest.raises(UserError, match=r"INSIGHTS_CASSANDRA_CA_FILE is '.*absent\.crt': No such file"):
        connections.make_cassandra_cluster(settings)
