"""Measure how many rows per second this project's writer and its alternatives write to Cassandra.

`python -m benchmarks.cassandra_writer [--rows N] [--rounds N] [--connector] [--json FILE]` starts a node, creates the
project's tables, and lets every contender write the same users in turn. A warm-up round checks that all contenders
write the same rows. They start from rows in memory: the writer from Arrow, the driver's
`execute_concurrent_with_args` from tuples of Python values. With `--connector`, Spark replaces the driver, with a
cached data frame of two partitions on `local[2]`: Spark 3.5 with the Cassandra connector, tuned and with its defaults,
and Spark 4.1 with this project's writer inside `mapInArrow`.
"""

import argparse
import json
import random
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

import pyarrow as pa
import pyarrow.parquet as pq
from cassandra.cluster import Session
from cassandra.concurrent import execute_concurrent_with_args

from benchmarks.common.rounds import order_round, summarise
from benchmarks.connector.contenders import Write, open_spark_contenders
from insights.clients import connections
from insights.local.cassandra import CassandraServer
from insights.local.jars import ensure_jars, read_lock
from insights.local.java import find_java
from insights.migrations.migrate_cassandra import migrate_cassandra
from insights.model.schema import CASSANDRA_TABLES
from insights.settings import CassandraSettings, LocalSettings, StreamSettings, load
from insights.simulator.formats import list_nationalities
from insights.sinks.cassandra import CassandraWriter
from insights.sinks.cql_encoding import compute_buckets
from insights.sinks.user_tables import USER_TABLES
from tests.helpers.accepted_users import table, user
from tests.helpers.support import free_port

CONCURRENCY = 64
"""Requests that the driver keeps in flight."""
REGISTERED_FROM, REGISTERED_UNTIL = datetime(2002, 3, 21, tzinfo=UTC), datetime(2022, 5, 23, tzinfo=UTC)
COMPARED_ROWS = 1000
"""Rows of a table that are compared value by value."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print the result. `arguments` default to the process's own.

    Raises:
        UserError: Java or a jar is missing, or the node does not start.
    """
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--connector", action="store_true", help="measure Spark; downloads Spark 3.5 the first time")
    parser.add_argument("--json", type=Path, help="also write the result to this file")
    options = parser.parse_args(arguments)
    java, cache = find_java(load(LocalSettings).java_home), load(LocalSettings).jars
    ensure_jars(read_lock(), cache, java)
    with tempfile.TemporaryDirectory() as home:
        server = CassandraServer(Path(home), free_port(), java=java, jars=cache, storage_port=free_port())
        server.start()
        try:
            server.wait_ready(180)
            settings = CassandraSettings(hosts=server.host, port=server.port, local_dc=server.local_dc)
            migrate_cassandra(settings)
            users, file = generate_users(options.rows), Path(home, "users.parquet")
            pq.write_table(users, file)
            with ExitStack() as stack:
                spark = stack.enter_context(open_spark_contenders(settings, file, java)) if options.connector else {}
                result = compare(settings, users, options.rounds, spark)
        finally:
            server.stop()
    print(format_result(result))
    if options.json:
        options.json.write_text(json.dumps(result, indent=2) + "\n")


def compare(settings: CassandraSettings, users: pa.Table, rounds: int, others: Mapping[str, Write]) -> dict[str, Any]:
    """Rows per second of each contender in each round, per table.

    Raises:
        RuntimeError: a contender left different rows in the table than the writer.
    """
    stream = load(StreamSettings)
    tables: dict[str, Any] = {}
    with connections.open_cassandra(settings) as own, connections.open_cassandra(settings) as session:
        writer = CassandraWriter(own, in_flight=stream.cassandra_in_flight, batch_rows=stream.cassandra_batch_rows)
        for name in USER_TABLES:
            columns = CASSANDRA_TABLES[name][1]
            contenders: dict[str, Callable[[], Any]] = {
                "writer": partial(writer.upsert, name, columns, users, "version")
            }
            for other, write in others.items():
                contenders[other] = partial(write, name, columns)
            if not others:
                contenders["execute_concurrent"] = prepare_driver(session, name, columns, users)
            require_same_rows(session, name, columns, contenders)
            rates: dict[str, list[float]] = {contender: [] for contender in contenders}
            for number in range(rounds):
                for contender in order_round(list(contenders), number):
                    started = time.perf_counter()
                    contenders[contender]()
                    rates[contender].append(users.num_rows / (time.perf_counter() - started))
                    print(f"{name} round {number + 1} {contender} {rates[contender][-1]:,.0f}", file=sys.stderr)
            tables[name] = {"columns": len(columns), "rates": rates}
    return {"rows": users.num_rows, "rounds": rounds, "concurrency": CONCURRENCY, "tables": tables}


def require_same_rows(
    session: Session, name: str, columns: Sequence[str], contenders: Mapping[str, Callable[[], Any]]
) -> None:
    """Let each contender write once to the empty table, and compare its rows with the writer's.

    Raises:
        RuntimeError: they differ.
    """
    cql = f"SELECT {', '.join(columns)}, writetime(full_name) FROM {name} LIMIT {COMPARED_ROWS}"
    written: dict[str, tuple[int, list[Any]]] = {}
    for contender, write in contenders.items():
        session.execute(f"TRUNCATE {name}", timeout=60)
        write()
        count = session.execute(f"SELECT count(*) FROM {name}", timeout=60).one()[0]
        written[contender] = (count, [tuple(row) for row in session.execute(cql)])
        if written[contender] != written["writer"]:
            raise RuntimeError(f"{contender} and the writer left different rows in {name}")


def prepare_driver(session: Session, name: str, columns: tuple[str, ...], users: pa.Table) -> Callable[[], Any]:
    """The same upsert with the driver, one statement per row."""
    marks = ", ".join("?" for _ in columns)
    cql = f"INSERT INTO {name} ({', '.join(columns)}) VALUES ({marks}) USING TIMESTAMP ?"
    statement = session.prepare(cql)
    rows = [
        (*(UUID(row[column]) if column == "user_id" else row[column] for column in columns), row["version"])
        for row in users.select(dict.fromkeys((*columns, "version"))).to_pylist()
    ]
    return partial(execute_concurrent_with_args, session, statement, rows, concurrency=CONCURRENCY)


def generate_users(rows: int) -> pa.Table:
    """Users of as many nationalities and months as the API has, because rows that share a partition cost less."""
    generator = random.Random(1)
    countries, people = list_nationalities("1.4"), []
    for number in range(rows):
        registered = REGISTERED_FROM + generator.random() * (REGISTERED_UNTIL - REGISTERED_FROM)
        person = user(
            generator,
            UUID(int=generator.getrandbits(128)),
            1_000_000 + number,
            str(number),
            country_code=generator.choice(countries),
            registered_at=registered,
            registered_year=registered.year,
            registered_month=registered.strftime("%Y-%m"),
        )
        people.append(person)
    users = table(people)
    return users.append_column("bucket", compute_buckets(users["user_id"].combine_chunks()))


def format_result(result: dict[str, Any]) -> str:
    """A table per Cassandra table: rows per second of each contender, and the writer's ratio to it."""
    lines = [f"{result['rows']:,} rows, {result['rounds']} rounds (min median max)"]
    for name, measurement in result["tables"].items():
        lines.append(f"{name}, {measurement['columns']} columns{'rows/s':>32}{'writer / this':>28}")
        writer = measurement["rates"]["writer"]
        for contender, rates in measurement["rates"].items():
            ratios = summarise([writer_rate / rate for writer_rate, rate in zip(writer, rates, strict=True)])
            line = f"  {contender:<20}" + "".join(f"{rate:>10,.0f}" for rate in summarise(rates))
            lines.append(line + ("" if contender == "writer" else "".join(f"{ratio:>8.2f}" for ratio in ratios)))
    return "\n".join(lines)


if __name__ == "__main__":
    main()
