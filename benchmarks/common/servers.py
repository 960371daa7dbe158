"""The platform's servers and services on free ports, as `insights demo` configures them."""

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

from insights.local.configuration import Configuration, DemoOptions
from insights.local.jars import ensure_jars, read_lock
from insights.local.java import find_java
from insights.local.process import Component
from insights.migrations.kafka_topics import ensure_topics
from insights.migrations.migrate_cassandra import migrate_cassandra
from insights.migrations.migrate_postgres import migrate_postgres
from insights.settings import LocalSettings, StoreSettings, load

T = TypeVar("T")

PATIENCE_SECONDS = 600.0
DISPLAY = {"postgres": "PostgreSQL", "kafka": "Kafka", "cassandra": "Cassandra"}
"""The names of the servers in the results; the services have their own."""


def find_free_ports(number: int) -> list[int]:
    """Ports of the loopback interface that nothing listens on at present."""
    with ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(number)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]


def free_port() -> int:
    """A port of the loopback interface that nothing listens on at present."""
    return find_free_ports(1)[0]


def wait_until(condition: Callable[[], T], what: str, seconds: float = PATIENCE_SECONDS, pause: float = 0.1) -> T:
    """Poll `condition` until it returns a true value, and return that.

    Raises:
        RuntimeError: it did not within `seconds`; the message says `what` did not happen.
    """
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise RuntimeError(f"after {seconds:.0f} s {what}")
        time.sleep(pause)
    return value


@contextmanager
def run_servers(*servers: Component) -> Iterator[None]:
    """Run the servers, which start at the same time, for the length of a `with` block."""
    with ExitStack() as stack:
        for server in servers:
            stack.callback(server.stop)
            server.start()
        for server in servers:
            server.wait_ready(PATIENCE_SECONDS)
        yield


@contextmanager
def configure() -> Iterator[Configuration]:
    """The platform's components in a temporary directory; none is running.

    Raises:
        UserError: Java or a jar is missing.
    """
    java, jars = find_java(load(LocalSettings).java_home), load(LocalSettings).jars
    ensure_jars(read_lock(), jars, java)
    names = [name for name in LocalSettings.model_fields if name.endswith("_port")]
    with TemporaryDirectory(prefix="benchmark-") as home:
        ports = dict(zip(names, find_free_ports(len(names)), strict=True))
        yield Configuration(load(LocalSettings, home=Path(home), **ports), DemoOptions(), java)


@contextmanager
def run_stores(configuration: Configuration) -> Iterator[StoreSettings]:
    """Run PostgreSQL, Kafka and Cassandra with this version's schemas and topics.

    Raises:
        UserError: a server does not start.
    """
    c = configuration
    with run_servers(c.postgres, c.kafka, c.cassandra):
        create_schemas(c)
        yield StoreSettings(c.postgres_settings, c.kafka_settings, c.cassandra_settings)


def create_schemas(configuration: Configuration) -> None:
    """Create the database, this version's schemas and the topics on running servers."""
    c = configuration
    c.postgres.create_database(c.postgres_settings.dbname)
    migrate_postgres(c.postgres_settings)
    ensure_topics(c.kafka_settings)
    migrate_cassandra(c.cassandra_settings)


def list_pids(*components: Component) -> dict[str, int]:
    """The process of each running component, by the name that it has in the results."""
    return {DISPLAY.get(component.name, component.name): component.pid for component in components}
