"""TLS connections to Cassandra: the trusted authority, and the name that each node's certificate must contain.

Nodes announce addresses. The driver connects to these, also where the settings give names, and so could check
certificates against addresses only.
"""

import socket
import ssl
from typing import Any

from cassandra import UnresolvableContactPoints
from cassandra.connection import DefaultEndPoint, DefaultEndPointFactory

from insights.errors import UserError
from insights.settings import CassandraSettings


class NamedEndPoint(DefaultEndPoint):  # type: ignore[misc]
    """The address of a node and the name in its certificate."""

    def __init__(self, address: str, port: int, name: str) -> None:
        super().__init__(address, port)
        self._name = name

    @property
    def ssl_options(self) -> dict[str, str]:
        return {"server_hostname": self._name}


class NamedEndPoints(DefaultEndPointFactory):  # type: ignore[misc]
    """The endpoints of a cluster's nodes, whose certificates contain `server_name`.

    Without one, a node of `hosts` is checked by the name that the settings give it, and any other node by its address.
    """

    def __init__(self, settings: CassandraSettings) -> None:
        """Resolve the host names.

        Raises:
            UnresolvableContactPoints: none of them resolves.
        """
        super().__init__(settings.port)
        self._server_name = settings.server_name
        self._names: dict[str, str] = {}
        for host in settings.contact_points:
            for address in _resolve(host, settings.port):
                self._names.setdefault(address, host)
        if not self._names:
            raise UnresolvableContactPoints(settings.contact_points)

    def contact_points(self) -> list[NamedEndPoint]:
        """The endpoints of the settings' hosts."""
        return [self._name(address, self.port) for address in self._names]

    def create(self, row: dict[str, Any]) -> NamedEndPoint:
        """The endpoint of a row of `system.peers`."""
        endpoint = super().create(row)
        return self._name(endpoint.address, endpoint.port)

    def _name(self, address: str, port: int) -> NamedEndPoint:
        return NamedEndPoint(address, port, self._server_name or self._names.get(address, address))


def make_tls_context(settings: CassandraSettings) -> ssl.SSLContext:
    """A context that trusts the authorities of `ca_file` and checks host names.

    Raises:
        UserError: the file cannot be read or contains no certificate.
    """
    try:
        return ssl.create_default_context(cafile=str(settings.ca_file))
    except OSError as error:
        raise UserError(
            f"INSIGHTS_CASSANDRA_CA_FILE is {str(settings.ca_file)!r}: {error.strerror or error};"
            " set it to a file of PEM certificates."
        ) from None


def _resolve(host: str, port: int) -> list[str]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except socket.gaierror:
        return []
    return [str(address[0]) for *_, address in found]
