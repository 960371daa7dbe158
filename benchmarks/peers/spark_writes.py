"""Write users to Cassandra with Spark on request, in a separate process because two versions of Spark are compared.

Spark 3.5 has the Cassandra connector but not this project; Spark 4.1 runs the project's writer in its Python workers.
The users come from a Parquet file and are cached in Spark's memory before the first write.
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
"""A copy of `version`: the connector removes the column of the timestamp from the row."""


def main() -> None:
    """Serve requests. The arguments are the file descriptor of the connection and Spark's configuration as JSON."""
    connection, conf = Connection(int(sys.argv[1])), json.loads(sys.argv[2])
    spark = SparkSession.builder.master(MASTER).config(map=conf).getOrCreate()
    spark.sparkContext.setLogLevel("ERROR")
    users = spark.read.parquet(connection.recv()).withColumn(WRITTEN_AT, functions.col("version"))
    users = users.repartition(PARTITIONS).cache()
    connection.send(users.count())
    while request := connection.recv():
        method, arguments = request
        METHODS[method](users, **arguments)
        connection.send(None)
    spark.stop()


def write_by_connector(
    users: DataFrame, table: str, columns: list[str], packed: dict[str, list[str]], options: dict[str, str]
) -> None:
    """Write with the connector; every row's timestamp is its version. A packed column is a struct of its fields."""
    users = users.withColumns({column: functions.struct(*fields) for column, fields in packed.items()})
    writer = users.select(*columns, WRITTEN_AT).write.format("org.apache.spark.sql.cassandra").mode("append")
    writer.options(table=table, writetime=WRITTEN_AT, **options).save()


def write_by_workers(
    users: DataFrame, table: str, columns: list[str], packed: dict[str, list[str]], settings: dict[str, Any]
) -> None:
    """Write with the project's writer in Spark's Python workers, which encode packed columns from their fields."""
    from benchmarks.peers.workers import write  # Spark 3.5's environment lacks its imports.

    fields = [name for column in columns for name in packed.get(column, [column])]
    written = users.select(*dict.fromkeys((*fields, "version")))
    rows = written.mapInArrow(partial(write, table, tuple(columns), settings), "rows long").collect()
    if sum(row.rows for row in rows) != users.count():
        raise RuntimeError(f"the workers did not write every row of {table}")


METHODS: dict[str, Callable[..., None]] = {"connector": write_by_connector, "workers": write_by_workers}

if __name__ == "__main__":
    main()
