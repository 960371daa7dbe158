"""`insights status`: the address, login and state of every server."""

import json
import socket
from typing import Annotated, Any
from urllib.parse import urlsplit

import typer

from insights.cli.app import app, console, load_stores
from insights.cli.tables import print_addresses
from insights.clients import kubernetes
from insights.settings import LocalSettings, SourceSettings, StoreSettings, load
from insights.text import mask_url

KAFKA_PORT = 9092
"""The port when a bootstrap server names none."""


@app.command()
def status(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Show the address, database, user and state of every server, and on one machine the passwords."""
    addresses = [address | {"state": _probe(address)} for address in _read_addresses(load_stores())]
    workloads = (
        [f"{workload.kind} {workload.name}: {workload.state}" for workload in kubernetes.list_workloads()]
        if kubernetes.is_in_cluster()
        else []
    )
    if as_json:
        typer.echo(json.dumps({"servers": addresses, "workloads": workloads}, indent=1))
        return
    print_addresses(console, addresses)
    for workload in workloads:
        console.print(workload, markup=False)


def _read_addresses(stores: StoreSettings) -> list[dict[str, Any]]:
    from insights.local.home import DESCRIPTION, read_description

    home = load(LocalSettings).home
    if (home / DESCRIPTION).exists():
        return list(read_description(home)["addresses"])
    kafka_host, _, kafka_port = stores.kafka.bootstrap_servers.split(",")[0].strip().partition(":")
    broker_port = int(kafka_port) if kafka_port.isdecimal() else KAFKA_PORT
    cassandra = stores.cassandra
    contact_point = next(iter(cassandra.contact_points), "")
    return [
        _address(
            "postgres",
            stores.postgres.host,
            stores.postgres.port,
            stores.postgres.dbname,
            stores.postgres.user,
        ),
        _address(
            "kafka",
            kafka_host,
            broker_port,
            stores.kafka.raw_topic,
            stores.kafka.username or "",
        ),
        _address(
            "cassandra",
            contact_point,
            cassandra.port,
            cassandra.keyspace,
            cassandra.username or "",
        ),
        _address("source", url=mask_url(str(load(SourceSettings).url))),
    ]


def _address(
    name: str, host: str = "", port: int = 0, database: str = "", user: str = "", *, url: str = ""
) -> dict[str, Any]:
    return {"name": name, "url": url, "host": host, "port": port, "database": database, "user": user, "password": ""}


def _probe(address: dict[str, Any]) -> str:
    parts = urlsplit(address["url"])
    host = address["host"] or parts.hostname
    port = address["port"] or parts.port or (443 if parts.scheme == "https" else 80)
    try:
        socket.create_connection((host, port), timeout=3).close()
    except OSError:
        return "down"
    return "up"
