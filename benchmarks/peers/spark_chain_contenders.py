"""The chain behind Kafka with Spark 3.5 and the Cassandra connector, with its defaults and tuned."""

import subprocess
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import asdict
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import Any

from psycopg2.extensions import connection as PgConnection

from benchmarks.peers.contenders import ROOT, TUNED
from benchmarks.peers.environment import ensure_peer_jars, ensure_spark_python
from benchmarks.peers.spark_conf import configure_connector
from insights.clients import connections
from insights.environment import read_inherited_environment
from insights.errors import UserError
from insights.local.configuration import Configuration
from insights.model.countries import load_countries
from insights.model.schema import (
    CASSANDRA_TABLES,
    CASSANDRA_TYPES,
    PACKED_COLUMNS,
    USER_FIELDS,
    build_cql_type,
    build_cql_types,
    build_raw_spark_ddl,
    build_sql_table,
)
from insights.settings import LocalSettings, StoreSettings, StreamSettings, load
from insights.sinks.user_tables import USER_TABLES

PEERS = {"Spark 3.5 and connector": "peer_default", "Spark 3.5 and connector, tuned": "peer_tuned"}
"""The name of the keyspace, and of the schema in PostgreSQL, of each contender."""
OPTIONS: dict[str, tuple[dict[str, str], dict[str, str], str]] = {
    "Spark 3.5 and connector": ({}, {}, ""),
    "Spark 3.5 and connector, tuned": (TUNED, {"batchsize": "10000"}, "?reWriteBatchedInserts=true"),
}
"""Options of the connector and of JDBC, and those of the URL."""
COMPARED = ("user_id", "version", "email", "country_code", "city", "registered_month", "born_at")


class SparkChain:
    """The process. `run` lets a contender process what the raw topic has since its last run."""

    def __init__(self, connection: Connection, pid: int) -> None:
        self._connection, self.pid = connection, pid

    def run(self, name: str) -> None:
        """Return when the contender has delivered every message.

        Raises:
            UserError: Spark exited.
        """
        self._connection.send(name)
        self.wait()

    def wait(self) -> None:
        """Wait for the process's answer."""
        try:
            self._connection.recv()
        except EOFError:
            raise UserError("Spark exited during the benchmark: see its output above.") from None


@contextmanager
def run_spark_chain(c: Configuration, stores: StoreSettings) -> Iterator[SparkChain]:
    """Create the contenders' tables and start Spark 3.5.

    Raises:
        UserError: the environment of Spark 3.5 cannot be created, or Spark does not start.
    """
    python = ensure_spark_python(load(LocalSettings).cache.expanduser())
    jars = ensure_peer_jars(c.jars, c.java, "connector", "spark3")
    _create_tables(stores)
    connection, child = Pipe()
    command = [str(python), "-m", "benchmarks.peers.spark_chain", str(child.fileno())]
    environment = read_inherited_environment() | {
        "JAVA_HOME": str(c.java.parents[1]),
        "PYTHONPATH": str(ROOT),
        "PYSPARK_PYTHON": str(python),
    }
    process = subprocess.Popen(command, cwd=c.home, env=environment, pass_fds=[child.fileno()])
    child.close()
    try:
        connection.send(_configure(c, stores, [str(jar) for jar in jars]))
        spark = SparkChain(connection, process.pid)
        spark.wait()
        yield spark
        connection.send("")
    finally:
        connection.close()
        process.wait(60)


def require_same_users(stores: StoreSettings) -> None:
    """Compare what the contenders have written with what the stream has.

    Raises:
        RuntimeError: users are missing, or have other fields.
    """
    fields = ", ".join(COMPARED)
    digest = "SELECT count(*), md5(string_agg(u::text, chr(10) ORDER BY user_id)) FROM (SELECT {} FROM {}.users) AS u"
    with closing(connections.connect_postgres(stores.postgres, "benchmark")) as connection:
        found = {schema: _query(connection, digest.format(fields, schema)) for schema in ("analytics", *PEERS.values())}
    for schema, rows in found.items():
        if rows != found["analytics"]:
            raise RuntimeError(f"{schema} has {rows[0][0]:,} users, the stream {found['analytics'][0][0]:,}, or others")
    [[users, _]] = found["analytics"]
    with connections.open_cassandra(stores.cassandra) as session:
        for keyspace in PEERS.values():
            for table in USER_TABLES:
                count = session.execute(f"SELECT count(*) FROM {keyspace}.{table}", timeout=300).one()[0]
                if count != users:
                    raise RuntimeError(f"{keyspace}.{table} has {count:,} of {users:,} users")


def _create_tables(stores: StoreSettings) -> None:
    types = build_cql_types()
    with connections.open_cassandra(stores.cassandra) as session:
        for keyspace in PEERS.values():
            session.execute(f"CREATE KEYSPACE {keyspace} WITH replication = {stores.cassandra.replication}")
            for name in CASSANDRA_TYPES:
                session.execute(build_cql_type(name).replace(name, f"{keyspace}.{name}", 1), timeout=60)
            for table, (key, columns) in CASSANDRA_TABLES.items():
                definitions = ", ".join(f"{name} {types[name]}" for name in columns)
                session.execute(f"CREATE TABLE {keyspace}.{table} ({definitions}, PRIMARY KEY ({key}))", timeout=60)
    with closing(connections.connect_postgres(stores.postgres, "benchmark")) as connection:
        for schema in PEERS.values():
            _query(connection, f"CREATE SCHEMA {schema}; {build_sql_table(f'{schema}.users')}")


def _query(connection: PgConnection, statement: str) -> list[tuple[Any, ...]]:
    with connection, connection.cursor() as cursor:
        cursor.execute(statement)
        return list(cursor.fetchall()) if cursor.description else []


def _configure(c: Configuration, stores: StoreSettings, jars: list[str]) -> dict[str, Any]:
    postgres, cassandra = stores.postgres, stores.cassandra
    url = f"jdbc:postgresql://{postgres.host}:{postgres.port}/{postgres.dbname}"
    login = {"user": postgres.user, "password": postgres.password.get_secret_value(), "stringtype": "unspecified"}
    login["driver"] = "org.postgresql.Driver"
    contenders = {
        name: {
            "checkpoint": str(c.home / "spark3" / keyspace),
            "cassandra": {"keyspace": keyspace} | OPTIONS[name][0],
            "jdbc": {"url": url + OPTIONS[name][2], "dbtable": f"{keyspace}.users", **login, **OPTIONS[name][1]},
        }
        for name, keyspace in PEERS.items()
    }
    source = stores.kafka.spark() | {
        "subscribe": stores.kafka.raw_topic,
        "startingOffsets": "earliest",
        "includeHeaders": "true",
        "maxOffsetsPerTrigger": str(load(StreamSettings).max_offsets_per_trigger),
    }
    return {
        "conf": configure_connector(cassandra, jars) | {"spark.sql.shuffle.partitions": "2"},
        "countries": [_describe_country(country) for country in load_countries().values()],
        "contenders": contenders,
        "source": source,
        "schema": build_raw_spark_ddl(),
        "fields": list(USER_FIELDS),
        "packed": {column: list(fields) for column, fields in PACKED_COLUMNS.items()},
        "tables": {table: list(columns) for table, (_, columns) in CASSANDRA_TABLES.items()},
    }


def _describe_country(country: Any) -> Mapping[str, Any]:
    facts = asdict(country)
    kept = {name: facts[name] for name in ("continent", "sub_region", "reach_km")}
    centre = {"centre_latitude": facts["latitude"], "centre_longitude": facts["longitude"]}
    return {"country_code": facts["code"], "country": facts["name"], **kept, **centre}
