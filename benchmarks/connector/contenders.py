"""Spark's ways to write users to Cassandra, each in a process that waits for its turn."""

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

from benchmarks.connector.environment import connector_jars, spark_python
from insights.errors import UserError
from insights.settings import CassandraSettings, LocalSettings, StreamSettings, load, read_inherited_environment

Write = Callable[[str, Sequence[str]], None]
"""Writes every user to a table, given its columns."""

TUNED = {
    "spark.cassandra.output.batch.size.rows": "30",
    "spark.cassandra.output.batch.grouping.key": "none",
    "spark.cassandra.output.concurrent.writes": "16",
}
WORKERS = 2
ROOT = Path(__file__).parents[2]


@contextmanager
def spark_contenders(settings: CassandraSettings, users: Path, java: Path) -> Iterator[dict[str, Write]]:
    """The connector tuned and as it comes, and the project's writer in Python workers, with the users in memory.

    Raises:
        UserError: the connector's environment cannot be made, or Spark does not start.
    """
    local, stream = load(LocalSettings), load(StreamSettings)
    jars = connector_jars(local.jars, java)
    connector = {
        "spark.jars": ",".join(str(jar) for jar in jars),
        "spark.cassandra.connection.host": settings.hosts,
        "spark.cassandra.connection.port": str(settings.port),
        "spark.cassandra.connection.localDC": settings.local_dc,
    }
    server = {
        "host": settings.hosts,
        "port": settings.port,
        "local_dc": settings.local_dc,
        "keyspace": settings.keyspace,
        "in_flight": stream.cassandra_in_flight // WORKERS,
        "batch_rows": stream.cassandra_batch_rows,
    }
    three = partial(spark, spark_python(local.cache.expanduser()), connector)
    four = partial(spark, Path(sys.executable), {})
    with three(users, java) as spark3, four(users, java) as spark4:
        as_it_comes = {"keyspace": settings.keyspace}
        yield {
            "connector, tuned": partial(_ask, spark3, "connector", {"options": as_it_comes | TUNED}),
            "connector": partial(_ask, spark3, "connector", {"options": as_it_comes}),
            "writer, mapInArrow": partial(_ask, spark4, "workers", {"settings": server}),
        }


@contextmanager
def spark(python: Path, conf: Mapping[str, str], users: Path, java: Path) -> Iterator[Connection]:
    """A connection to a process of `spark_writes` that has the users in memory."""
    ours, theirs = Pipe()
    command = [str(python), "-m", "benchmarks.connector.spark_writes", str(theirs.fileno()), json.dumps(conf)]
    environment = read_inherited_environment() | {
        "JAVA_HOME": str(java.parents[1]),
        "PYTHONPATH": str(ROOT),
        "PYSPARK_PYTHON": str(python),
    }
    process = subprocess.Popen(command, cwd=users.parent, env=environment, pass_fds=[theirs.fileno()])
    theirs.close()
    try:
        ours.send(str(users))
        _answer(ours)
        yield ours
        ours.send(None)
    finally:
        ours.close()
        process.wait(60)


def _ask(connection: Connection, way: str, arguments: Mapping[str, Any], table: str, columns: Sequence[str]) -> None:
    connection.send((way, {"table": table, "columns": list(columns), **arguments}))
    _answer(connection)


def _answer(connection: Connection) -> None:
    try:
        connection.recv()
    except EOFError:
        raise UserError("Spark ended during the benchmark: what it said is above.") from None
