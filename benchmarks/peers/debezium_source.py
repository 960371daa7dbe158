"""Debezium's PostgreSQL source, with its defaults and tuned, each on a database of its own.

A replication slot decodes what is written to its own database only, so that no contender pays for the others' rows.
"""

import io
import json
from collections.abc import Mapping
from contextlib import closing
from typing import Any

import psycopg2

from benchmarks.peers.connect import ConnectWorker
from insights.local.configuration import Configuration
from insights.local.postgres import PostgresServer

PLUGIN = "debezium-postgres"
DEFAULT: dict[str, str] = {}
TUNED = {
    "transforms": "unwrap",
    "transforms.unwrap.type": "io.debezium.transforms.ExtractNewRecordState",
    "max.batch.size": "20000",
    "max.queue.size": "80000",
    "poll.interval.ms": "20",
    "producer.override.compression.type": "lz4",
    "producer.override.batch.size": "262144",
    "producer.override.linger.ms": "5",
}
TUNED_WORKER = {"key.converter.schemas.enable": "false", "value.converter.schemas.enable": "false"}
CREATE = """
CREATE TABLE staged (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, user_key uuid NOT NULL, payload json NOT NULL)
"""


class LogicalPostgres(PostgresServer):
    """The platform's server, with a write-ahead log that can be decoded."""

    def prepare(self) -> None:
        super().prepare()
        with (self.state / "data" / "insights.conf").open("a") as settings:
            settings.write("wal_level = logical\n")


class DebeziumSource:
    """A worker and its database."""

    def __init__(
        self, configuration: Configuration, name: str, worker: Mapping[str, str], connector: Mapping[str, str]
    ) -> None:
        server = configuration.postgres
        self._connection: dict[str, Any] = server.connection(name)
        self.topic = f"{name}.public.staged"
        server.create_database(name)
        with closing(psycopg2.connect(**self._connection)) as connection, connection, connection.cursor() as cursor:
            cursor.execute(CREATE)
        self.worker = ConnectWorker(
            configuration,
            f"connect-{name}",
            PLUGIN,
            worker,
            {
                "connector.class": "io.debezium.connector.postgresql.PostgresConnector",
                "plugin.name": "pgoutput",
                "database.hostname": server.host,
                "database.port": str(server.port),
                "database.user": server.user,
                "database.password": server.password,
                "database.dbname": name,
                "topic.prefix": name,
                "slot.name": name,
                "publication.autocreate.mode": "filtered",
                "table.include.list": "public.staged",
                "snapshot.mode": "no_data",
                **connector,
            },
        )

    def write(self, rows: bytes) -> None:
        """Insert staged rows, given as the text that `COPY` has written."""
        with closing(psycopg2.connect(**self._connection)) as connection, connection, connection.cursor() as cursor:
            cursor.copy_expert("COPY staged (user_key, payload) FROM STDIN", io.BytesIO(rows))


def decode(message: Any) -> tuple[str, bytes]:
    """The user id and the staged record of a change event in any of the forms."""
    event = json.loads(message.value())
    event = event.get("payload", event) if "schema" in event else event
    row = event.get("after", event)
    return row["user_key"], row["payload"].encode()
