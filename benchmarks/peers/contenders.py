"""Spark's ways to write users to Cassandra, each in a process that writes on request."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from benchmarks.peers.environment import ensure_peer_jars, ensure_spark_python
from benchmarks.peers.spark_conf import COMMON, configure_connector
from insights.environment import read_inherited_environment
from insights.errors import UserError
from insights.model.schema import PACKED_COLUMNS
from insights.settings import CassandraSettings, LocalSettings, StreamSettings, load

Write = Callable[[str, Sequence[str]], None]
"""Writes every user to a table, given the table's name and columns."""

TUNED = {
    "spark.cassandra.output.batch.size.rows": "30",
    "spark.cassandra.output.batch.grouping.key": "none",
    "spark.cassandra.output.concurrent.writes": "16",
}
WORKERS = 2
ROOT = Path(__file__).parents[2]


@contextmanager
def open_spark_contenders(settings: CassandraSettings, users: Path, java: Path) -> Iterator[dict[str, Write]]:
    """The connector, tuned and with its defaults, and the project's writer in Python workers, with the users in memory.

    Raises:
        UserError: the connector's environment cannot be created, or Spark does not start.
    """
    local, stream = load(LocalSettings), load(StreamSettings)
    jars = ensure_peer_jars(local.jars, java, "connector")
    connector = configure_connector(settings, jars)
    server = {
        "host": settings.hosts,
        "port": settings.port,
        "local_dc": settings.local_dc,
        "keyspace": settings.keyspace,
        "in_flight": stream.cassandra_in_flight // WORKERS,
        "batch_rows": stream.cassandra_batch_rows,
    }
    open_spark3 = partial(run_spark, ensure_spark_python(local.cache.expanduser()), connector)
    open_spark4 = partial(run_spark, Path(sys.executable), COMMON)
    with open_spark3(users, java) as spark3, open_spark4(users, java) as spark4:
        defaults = {"keyspace": settings.keyspace}
        yield {
            "connector, tuned": partial(_request_write, spark3, "connector", {"options": defaults | TUNED}),
            "connector": partial(_request_write, spark3, "connector", {"options": defaults}),
            "writer, mapInArrow": partial(_request_write, spark4, "workers", {"settings": server}),
        }


@contextmanager
def run_spark(python: Path, conf: Mapping[str, str], users: Path, java: Path) -> Iterator[Connection]:
    """A connection to a process of `spark_writes` that holds the users in memory."""
    connection, child_connection = Pipe()
    command = [str(python), "-m", "benchmarks.peers.spark_writes", str(child_connection.fileno()), json.dumps(conf)]
    environment = read_inherited_environment() | {
        "JAVA_HOME": str(java.parents[1]),
        "PYTHONPATH": str(ROOT),
        "PYSPARK_PYTHON": str(python),
    }
    process = subprocess.Popen(command, cwd=users.parent, env=environment, pass_fds=[child_connection.fileno()])
    child_connection.close()
    try:
        connection.send(str(users))
        _wait_for_answer(connection)
        yield connection
        connection.send(None)
    finally:
        connection.close()
        process.wait(60)


def _request_write(
    connection: Connection, method: str, arguments: Mapping[str, Any], table: str, columns: Sequence[str]
) -> None:
    packed = {column: list(fields) for column, fields in PACKED_COLUMNS.items()}
    connection.send((method, {"table": table, "columns": list(columns), "packed": packed, **arguments}))
    _wait_for_answer(connection)


def _wait_for_answer(connection: Connection) -> None:
    try:
        connection.recv()
    except EOFError:
        raise UserError("Spark exited during the benchmark: see its output above.") from None
