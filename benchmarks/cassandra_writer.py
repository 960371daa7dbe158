"""Measure how many rows per second this project's writer and its alternatives write to Cassandra.

`python -m benchmarks.cassandra_writer [--rows N] [--rounds N] [--connector]` starts a node, creates the
project's tables, and lets every contender write the same users in turn. A warm-up round checks that all contenders
write the same rows. They start from rows in memory: the writer from Arrow, the driver's
`execute_concurrent_with_args` from tuples of Python values. With `--connector`, Spark replaces the driver, with a
cached data frame of two partitions on `local[2]`: Spark 3.5 with the Cassandra connector, tuned and with its defaults,
and Spark 4.1 with this project's writer inside `mapInArrow`.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any
from uuid import UUID

import pyarrow as pa
import pyarrow.parquet as pq
from cassandra.cluster import Session
from cassandra.concurrent import execute_concurrent_with_args

from benchmarks.common.entry import conclude, list_arguments, make_parser, run
from benchmarks.common.population import generate_chunks
from benchmarks.common.results import Case, Result
from benchmarks.common.rounds import Turn, measure, take_turns
from benchmarks.common.servers import configure, list_pids, run_servers
from benchmarks.peers.contenders import Write, open_spark_contenders
from insights.clients import connections
from insights.migrations.migrate_cassandra import migrate_cassandra
from insights.model.schema import CASSANDRA_TABLES, PACKED_COLUMNS
from insights.settings import CassandraSettings, StreamSettings, load
from insights.sinks.cassandra import CassandraWriter
from insights.sinks.user_tables import USER_TABLES, add_derived_columns

ABOUT = """\
The same users, from memory, into each table of the project's keyspace. `writer` is the project's, from Arrow;
`execute_concurrent` is the driver's `execute_concurrent_with_args` with a prepared statement, 64 requests in flight
and tuples of Python values. CPU time is that of the node and, as `client`, of this process."""
VALIDITY = "the rows, and their times of writing, that the contenders left in a round that is not counted were compared"
CONCURRENCY = 64
"""Requests that the driver keeps in flight."""
COMPARED_ROWS = 1000
"""Rows of a table that are compared value by value."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print the result. `arguments` default to the process's own.

    Raises:
        UserError: Java or a jar is missing, or the node does not start.
    """
    parser = make_parser(__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--connector", action="store_true", help="measure Spark; downloads Spark 3.5 the first time")
    options = parser.parse_args(arguments)
    with configure() as c, run_servers(c.cassandra):
        migrate_cassandra(c.cassandra_settings)
        users, file = generate_users(options.rows), c.home / "users.parquet"
        pq.write_table(users.drop_columns(list(PACKED_COLUMNS)), file)
        with ExitStack() as stack:
            spark = (
                stack.enter_context(open_spark_contenders(c.cassandra_settings, file, c.java))
                if options.connector
                else {}
            )
            cases = compare(c.cassandra_settings, users, options.rounds, spark, list_pids(c.cassandra))
    title = "Rows into Cassandra"
    result = Result("cassandra_writer", title, ABOUT, "rows", VALIDITY, cases, list_arguments(parser, options))
    conclude(result, options.results)


def compare(
    settings: CassandraSettings, users: pa.Table, rounds: int, others: Mapping[str, Write], pids: Mapping[str, int]
) -> list[Case]:
    """The turns of each contender, a case per table.

    Raises:
        RuntimeError: a contender left different rows in the table than the writer.
    """
    stream, cases = load(StreamSettings), []
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
            turns = {contender: partial(_measure_write, write, pids, users) for contender, write in contenders.items()}
            cases.append(Case(f"`{name}`, {len(columns)} columns", take_turns(turns, rounds)))
    return cases


def _measure_write(write: Callable[[], Any], pids: Mapping[str, int], users: pa.Table, _: int) -> Turn:
    return measure(write, pids, users.num_rows, memory=True)


def require_same_rows(
    session: Session, name: str, columns: Sequence[str], contenders: Mapping[str, Callable[[], Any]]
) -> None:
    """Let each contender write once to the empty table, and compare its rows with the writer's.

    Raises:
        RuntimeError: they differ.
    """
    cql = f"SELECT {', '.join(columns)}, writetime({columns[-1]}) FROM {name} LIMIT {COMPARED_ROWS}"
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
        (*(_get_value(row, column) for column in columns), row["version"])
        for row in users.drop_columns(list(PACKED_COLUMNS)).to_pylist()
    ]
    return partial(execute_concurrent_with_args, session, statement, rows, concurrency=CONCURRENCY)


def _get_value(row: dict[str, Any], column: str) -> Any:
    if column in PACKED_COLUMNS:
        return tuple(row[name] for name in PACKED_COLUMNS[column])
    return UUID(row[column]) if column == "user_id" else row[column]


def generate_users(rows: int) -> pa.Table:
    """Users of as many nationalities and months as the API has, because rows that share a partition cost less."""
    return add_derived_columns(pa.concat_tables(chunk.accepted() for chunk in generate_chunks(rows)).combine_chunks())


if __name__ == "__main__":
    run(main)
