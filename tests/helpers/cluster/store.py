"""`store.py NAME STATE`: run one of the servers of the one-machine platform, reachable from other pods."""

import os
import shutil
import sys
from pathlib import Path

from insights.local.cassandra import CassandraServer
from insights.local.kafka import KafkaServer
from insights.local.postgres import PostgresServer

JAVA, JARS = Path(shutil.which("java") or "java"), Path("/opt/jars")
HOST = os.environ["POD_IP"]


class Kafka(KafkaServer):
    def _build_settings(self):
        everywhere = {"listeners": f"PLAINTEXT://0.0.0.0:{self.port},CONTROLLER://127.0.0.1:{self.controller_port}"}
        return super()._build_settings() | everywhere | {"advertised.listeners": f"PLAINTEXT://kafka:{self.port}"}


class Cassandra(CassandraServer):
    def command(self):
        java, *arguments = super().command()
        return [java, "-XX:TieredStopAtLevel=1", *arguments]

    def _build_settings(self):
        return super()._build_settings() | {"rpc_address": "0.0.0.0", "broadcast_rpc_address": HOST}


class Postgres(PostgresServer):
    @property
    def password(self):
        return os.environ["PASSWORD"]

    def prepare(self):
        fresh = not (self._data / "PG_VERSION").exists()
        super().prepare()
        with (self._data / "insights.conf").open("a") as file:
            file.write("listen_addresses = '*'\n")
        if fresh:
            with (self._data / "pg_hba.conf").open("a") as file:
                file.write("host all all all scram-sha-256\n")


def main() -> None:
    name, state = sys.argv[1], Path(sys.argv[2])
    servers = {
        "kafka": lambda: Kafka(state, java=JAVA, jars=JARS),
        "cassandra": lambda: Cassandra(state, java=JAVA, jars=JARS),
        "postgres": lambda: Postgres(state),
    }
    server = servers[name]()
    for folder in (server.state, server.log.parent):
        folder.mkdir(parents=True, exist_ok=True)
    server.prepare()
    command = server.command()
    os.execvp(command[0], command)


if __name__ == "__main__":
    main()
