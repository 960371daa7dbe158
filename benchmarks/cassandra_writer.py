"""Rows a second into Cassandra: this project's writer beside the driver's `execute_concurrent_with_args`.

`python -m benchmarks.cassandra_writer [--rows N] [--rounds N] [--json FILE]` starts a node of its own, creates the
project's tables in it, and writes the same users with both, in turns, after a warm-up round. The driver's contender
gets its rows as tuples of Python values made beforehand (not measured); the writer starts from Arrow.
"""

import argparse
import json
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

import pyarrow as pa
from cassandra.concurrent import execute_concurrent_with_args

from insights import connections
from insights.local.cassandra import CassandraServer
from insights.local.jars import ensure, read_lock
from insights.local.java import find_java
from insights.migrate import migrate_cassandra
from insights.schema import CASSANDRA_TABLES
from insights.serve.batch import USER_TABLES
from insights.serve.cassandra import CassandraWriter
from insights.serve.rows import buckets
from insights.settings import CassandraSettings, LocalSettings, StreamSettings, load
from tests.served_users import table, user
from tests.support import free_port

CONCURRENCY = 64
"""The driver contender's requests in flight."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print; `arguments` are the process's own by default.

    Raises:
        UserError: Java or a jar is missing, or the node does not start.
    """
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, help="write the result here as well")
    options = parser.parse_args(arguments)
    java, cache = find_java(load(LocalSettings).java_home), load(LocalSettings).jars
    ensure(read_lock(), cache, java)
    with tempfile.TemporaryDirectory() as home:
        server = CassandraServer(Path(home), free_port(), java=java, jars=cache, storage_port=free_port())
        server.start()
        try:
            server.wait_ready(180)
            settings = CassandraSettings(hosts=server.host, port=server.port, local_dc=server.local_dc)
            migrate_cassandra(settings)
            result = compare(settings, options.rows, options.rounds)
        finally:
            server.stop()
    print(text(result))
    if options.json:
        options.json.write_text(json.dumps(result, indent=2) + "\n")


def compare(settings: CassandraSettings, rows: int, rounds: int) -> dict[str, Any]:
    """Rows a second of each contender in each round, per table."""
    users = made_up(rows)
    stream = load(StreamSettings)
    tables: dict[str, Any] = {}
    with connections.cassandra(settings) as ours, connections.cassandra(settings) as theirs:
        writer = CassandraWriter(ours, in_flight=stream.cassandra_in_flight, batch_rows=stream.cassandra_batch_rows)
        for name in USER_TABLES:
            columns = CASSANDRA_TABLES[name][1]
            contenders: dict[str, Callable[[], Any]] = {
                "writer": partial(writer.upsert, name, columns, users, "version"),
                "execute_concurrent": driver(theirs, name, columns, users),
            }
            measured: dict[str, list[float]] = {contender: [] for contender in contenders}
            for number in range(rounds + 1):
                for contender, write in contenders.items():
                    began = time.perf_counter()
                    write()
                    if number:
                        measured[contender].append(rows / (time.perf_counter() - began))
                    print(f"{name} round {number} {contender}", file=sys.stderr)
            tables[name] = measured | {"columns": len(columns)}
    return {"rows": rows, "rounds": rounds, "concurrency": CONCURRENCY, "tables": tables}


def driver(session: Any, name: str, columns: tuple[str, ...], users: pa.Table) -> Callable[[], Any]:
    """The same upsert by the driver, one statement a row."""
    marks = ", ".join("?" for _ in columns)
    cql = f"INSERT INTO {name} ({', '.join(columns)}) VALUES ({marks}) USING TIMESTAMP ?"
    statement = session.prepare(cql)
    rows = [
        (*(UUID(row[column]) if column == "user_id" else row[column] for column in columns), row["version"])
        for row in users.select(dict.fromkeys((*columns, "version"))).to_pylist()
    ]
    return partial(execute_concurrent_with_args, session, statement, rows, concurrency=CONCURRENCY)


def made_up(rows: int) -> pa.Table:
    random_ = random.Random(1)
    people = [user(random_, UUID(int=random_.getrandbits(128)), 1_000_000 + n, str(n)) for n in range(rows)]
    users = table(people)
    return users.append_column("bucket", buckets(users["user_id"].combine_chunks()))


def text(result: dict[str, Any]) -> str:
    lines = [f"{result['rows']:,} rows, {result['rounds']} rounds in turns, rows/s (min median max)"]
    for name, measured in result["tables"].items():
        lines.append(f"{name}, {measured['columns']} columns")
        for contender in ("writer", "execute_concurrent"):
            lines.append(f"  {contender:<20}" + "".join(f"{rate:>10,.0f}" for rate in spread(measured[contender])))
        ratios = [a / b for a, b in zip(measured["writer"], measured["execute_concurrent"], strict=True)]
        lines.append(f"  {'ratio':<20}" + "".join(f"{ratio:>10.2f}" for ratio in spread(ratios)))
    return "\n".join(lines)


def spread(values: list[float]) -> tuple[float, float, float]:
    return min(values), statistics.median(values), max(values)


if __name__ == "__main__":
    main()
