"""Rows a second into Cassandra: this project's writer beside what else writes there.

`python -m benchmarks.cassandra_writer [--rows N] [--rounds N] [--connector] [--json FILE]` starts a node of its own,
creates the project's tables in it, and writes the same users with every contender, in turns, after a warm-up round
whose rows must be the same in the table. Each starts from rows in memory: the writer from Arrow, the driver's
`execute_concurrent_with_args` from tuples of Python values. With `--connector` Spark takes the driver's place, from a
cached frame of two partitions on `local[2]`: Spark 3.5 with the Cassandra connector, tuned and as it comes, and
Spark 4.1 with this project's writer inside `mapInArrow`.
"""

import argparse
import json
import random
import statistics
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

from benchmarks.connector.contenders import Write, spark_contenders
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
from insights.sinks.micro_batch import USER_TABLES
from tests.helpers.served_users import table, user
from tests.helpers.support import free_port

CONCURRENCY = 64
"""The driver contender's requests in flight."""
REGISTERED_FROM, REGISTERED_UNTIL = datetime(2002, 3, 21, tzinfo=UTC), datetime(2022, 5, 23, tzinfo=UTC)
COMPARED = 1000
"""Rows of a table that are compared value by value."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print; `arguments` are the process's own by default.

    Raises:
        UserError: Java or a jar is missing, or the node does not start.
    """
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--connector", action="store_true", help="beside Spark; downloads Spark 3.5 once")
    parser.add_argument("--json", type=Path, help="write the result here as well")
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
            users, file = made_up(options.rows), Path(home, "users.parquet")
            pq.write_table(users, file)
            with ExitStack() as stack:
                spark = stack.enter_context(spark_contenders(settings, file, java)) if options.connector else {}
                result = compare(settings, users, options.rounds, spark)
        finally:
            server.stop()
    print(text(result))
    if options.json:
        options.json.write_text(json.dumps(result, indent=2) + "\n")


def compare(settings: CassandraSettings, users: pa.Table, rounds: int, others: Mapping[str, Write]) -> dict[str, Any]:
    """Rows a second of each contender in each round, per table.

    Raises:
        RuntimeError: a contender's rows in the table are not the writer's.
    """
    stream = load(StreamSettings)
    tables: dict[str, Any] = {}
    with connections.open_cassandra(settings) as ours, connections.open_cassandra(settings) as theirs:
        writer = CassandraWriter(ours, in_flight=stream.cassandra_in_flight, batch_rows=stream.cassandra_batch_rows)
        for name in USER_TABLES:
            columns = CASSANDRA_TABLES[name][1]
            contenders: dict[str, Callable[[], Any]] = {
                "writer": partial(writer.upsert, name, columns, users, "version")
            }
            for other, write in others.items():
                contenders[other] = partial(write, name, columns)
            if not others:
                contenders["execute_concurrent"] = driver(theirs, name, columns, users)
            agree(theirs, name, columns, contenders)
            rates: dict[str, list[float]] = {contender: [] for contender in contenders}
            for number in range(rounds):
                for contender in turns(list(contenders), number):
                    began = time.perf_counter()
                    contenders[contender]()
                    rates[contender].append(users.num_rows / (time.perf_counter() - began))
                    print(f"{name} round {number + 1} {contender} {rates[contender][-1]:,.0f}", file=sys.stderr)
            tables[name] = {"columns": len(columns), "rates": rates}
    return {"rows": users.num_rows, "rounds": rounds, "concurrency": CONCURRENCY, "tables": tables}


def agree(session: Session, name: str, columns: Sequence[str], contenders: Mapping[str, Callable[[], Any]]) -> None:
    """Let each contender write once, unmeasured, to the empty table, and compare what it wrote with the first's."""
    cql = f"SELECT {', '.join(columns)}, writetime(full_name) FROM {name} LIMIT {COMPARED}"
    found: dict[str, tuple[int, list[Any]]] = {}
    for contender, write in contenders.items():
        session.execute(f"TRUNCATE {name}", timeout=60)
        write()
        count = session.execute(f"SELECT count(*) FROM {name}", timeout=60).one()[0]
        found[contender] = (count, [tuple(row) for row in session.execute(cql)])
        if found[contender] != found["writer"]:
            raise RuntimeError(f"{contender} and the writer left different rows in {name}")


def turns(contenders: Sequence[str], number: int) -> list[str]:
    """The order of a round: another contender begins each."""
    first = number % len(contenders)
    return [*contenders[first:], *contenders[:first]]


def driver(session: Session, name: str, columns: tuple[str, ...], users: pa.Table) -> Callable[[], Any]:
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
    """Users of as many nationalities and months as the API's, because rows that share a partition cost less."""
    random_ = random.Random(1)
    countries, people = list_nationalities("1.4"), []
    for n in range(rows):
        registered = REGISTERED_FROM + random_.random() * (REGISTERED_UNTIL - REGISTERED_FROM)
        person = user(
            random_,
            UUID(int=random_.getrandbits(128)),
            1_000_000 + n,
            str(n),
            country_code=random_.choice(countries),
            registered_at=registered,
            registered_year=registered.year,
            registered_month=registered.strftime("%Y-%m"),
        )
        people.append(person)
    users = table(people)
    return users.append_column("bucket", compute_buckets(users["user_id"].combine_chunks()))


def text(result: dict[str, Any]) -> str:
    lines = [f"{result['rows']:,} rows, {result['rounds']} rounds in turns (min median max)"]
    for name, measured in result["tables"].items():
        lines.append(f"{name}, {measured['columns']} columns{'rows/s':>32}{'writer / this':>28}")
        writer = measured["rates"]["writer"]
        for contender, rates in measured["rates"].items():
            ratios = spread([ours / theirs for ours, theirs in zip(writer, rates, strict=True)])
            line = f"  {contender:<20}" + "".join(f"{rate:>10,.0f}" for rate in spread(rates))
            lines.append(line + ("" if contender == "writer" else "".join(f"{ratio:>8.2f}" for ratio in ratios)))
    return "\n".join(lines)


def spread(values: list[float]) -> tuple[float, float, float]:
    return min(values), statistics.median(values), max(values)


if __name__ == "__main__":
    main()
