"""Writes users to Cassandra with Spark when asked to: a program of its own, because two versions of Spark take part.

Spark 3.5 has the Cassandra connector and nothing of this project; Spark 4.1 runs the project's writer in its Python
workers. The users come from a Parquet file and are in Spark's memory before the first write.
"""

import json
import sys
from collections.abc import Callable
from functools import partial
from multiprocessing.connection import Connection
from typing import Any

from pyspark.sql import DataFrame, SparkSession, functions

MASTER = "local[2]"
PARTITIONS = 2
WRITTEN_AT = "written_at"
"""The connector takes the column of the timestamp out of the row, so `version` cannot be it."""


def main() -> None:
    """Answer requests on the connection whose file descriptor is the first argument; the second is Spark's JSON."""
    connection, conf = Connection(int(sys.argv[1])), json.loads(sys.argv[2])
    common = {
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.memory": "2g",
        "spark.sql.session.timeZone": "UTC",
    }
    spark = SparkSession.builder.master(MASTER).config(map=common | conf).getOrCreate()
    spark.sparkContext.setLogLevel("ERROR")
    users = spark.read.parquet(connection.recv()).withColumn(WRITTEN_AT, functions.col("version"))
    users = users.repartition(PARTITIONS).cache()
    connection.send(users.count())
    while request := connection.recv():
        way, arguments = request
        WAYS[way](users, **arguments)
        connection.send(None)
    spark.stop()


def by_connector(users: DataFrame, table: str, columns: list[str], options: dict[str, str]) -> None:
    """Append with the connector, every row as of its version."""
    writer = users.select(*columns, WRITTEN_AT).write.format("org.apache.spark.sql.cassandra").mode("append")
    writer.options(table=table, writetime=WRITTEN_AT, **options).save()


def by_workers(users: DataFrame, table: str, columns: list[str], settings: dict[str, Any]) -> None:
    """Append with the project's writer in Spark's Python workers."""
    from benchmarks.connector.workers import write  # Spark 3.5's environment has none of what it imports.

    written = users.select(*dict.fromkeys((*columns, "version")))
    rows = written.mapInArrow(partial(write, table, tuple(columns), settings), "rows long").collect()
    if sum(row.rows for row in rows) != users.count():
        raise RuntimeError(f"the workers did not write every row of {table}")


WAYS: dict[str, Callable[..., None]] = {"connector": by_connector, "workers": by_workers}

if __name__ == "__main__":
    main()
