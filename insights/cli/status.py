"""`insights status`: where every server is, how to log in, and whether it answers."""

import json
import socket
from typing import Annotated, Any
from urllib.parse import urlsplit

import typer

from insights.cli.app import app, console, load_stores
from insights.cli.tables import build_addresses_table, print_wide
from insights.clients import kubernetes
from insights.settings import LocalSettings, SourceSettings, StoreSettings, load

KAFKA_PORT = 9092
"""What its clients take where the address names no port."""


@app.command()
def status(as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False) -> None:
    """Show every server's address, port, database, user and password for tools, and its state."""
    found = load_stores()
    addresses = [address | {"state": _state(address)} for address in _addresses(found)]
    pods = (
        [f"{pod.kind} {pod.name}: {pod.state}" for pod in kubernetes.list_workloads()]
        if kubernetes.is_in_cluster()
        else []
    )
    if as_json:
        typer.echo(json.dumps({"servers": addresses, "workloads": pods}, indent=1))
        return
    print_wide(console, build_addresses_table(addresses))
    for pod in pods:
        console.print(pod, markup=False)


def _addresses(found: StoreSettings) -> list[dict[str, Any]]:
    from insights.local.home import DESCRIPTION, read_description

    home = load(LocalSettings).home
    if (home / DESCRIPTION).exists():
        return list(read_description(home)["addresses"])
    kafka_host, _, kafka_port = found.kafka.bootstrap_servers.split(",")[0].strip().partition(":")
    broker_port = int(kafka_port) if kafka_port.isdecimal() else KAFKA_PORT
    cassandra = found.cassandra
    contact_point = next(iter(cassandra.contact_points), "")
    return [
        _address(
            "postgres",
            found.postgres.host,
            found.postgres.port,
            found.postgres.dbname,
            found.postgres.user,
            found.postgres.password.get_secret_value(),
        ),
        _address(
            "kafka",
            kafka_host,
            broker_port,
            found.kafka.raw_topic,
            found.kafka.username or "",
            found.kafka.password.get_secret_value(),
        ),
        _address(
            "cassandra",
            contact_point,
            cassandra.port,
            cassandra.keyspace,
            cassandra.username or "",
            cassandra.password.get_secret_value(),
        ),
        _address("source", url=str(load(SourceSettings).url)),
    ]


def _address(
    name: str, host: str = "", port: int = 0, database: str = "", user: str = "", password: str = "", *, url: str = ""
) -> dict[str, Any]:
    return {
        "name": name,
        "url": url,
        "host": host,
        "port": port,
        "database": database,
        "user": user,
        "password": password,
    }


def _state(address: dict[str, Any]) -> str:
    parts = urlsplit(address["url"])
    host = address["host"] or parts.hostname
    port = address["port"] or parts.port or (443 if parts.scheme == "https" else 80)
    try:
        socket.create_connection((host, port), timeout=3).close()
    except OSError:
        return "down"
    return "up"
