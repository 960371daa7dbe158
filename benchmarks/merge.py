"""Measure how fast users get into PostgreSQL: the merge beside Debezium's JDBC sink and a bare COPY.

`python -m benchmarks.merge [--records N] [--rounds N]` starts PostgreSQL, Kafka and two Connect workers. Every round
has new users; the sink's are on its topic, written while its process was stopped by a signal.
"""

import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from datetime import UTC, datetime
from functools import lru_cache, partial
from typing import Any

import pyarrow as pa
import pyarrow.csv
from psycopg2.extensions import connection as PgConnection

from benchmarks.common.entry import conclude, list_arguments, make_parser, run
from benchmarks.common.flow import measure_backlog
from benchmarks.common.population import CHUNK, Chunk
from benchmarks.common.results import Case, Result
from benchmarks.common.rounds import Turn, measure, take_turns
from benchmarks.common.servers import configure, list_pids, run_servers, wait_until
from benchmarks.common.topics import Topic
from benchmarks.peers import jdbc_sink
from benchmarks.peers.connect import ConnectWorker
from benchmarks.peers.environment import ensure_peer_jars
from insights.clients import connections
from insights.local.configuration import Configuration
from insights.migrations.migrate_postgres import migrate_postgres
from insights.model.schema import USER_FIELDS, build_sql_table
from insights.sinks import postgres
from insights.sinks.accepted_rows import encode_rows

OWN, BARE = "user-insights", "bare COPY"
TABLES = {
    OWN: "analytics.users",
    "JDBC sink": "jdbc_default",
    "JDBC sink, tuned": "jdbc_tuned",
    BARE: "bare_copy",
}
SETTINGS = {"JDBC sink": (jdbc_sink.DEFAULT, ""), "JDBC sink, tuned": (jdbc_sink.TUNED, "?reWriteBatchedInserts=true")}
BATCH = 20_000
"""Users of one merge: the most that a micro-batch has by default."""
ABOUT = f"""\
New users, all {len(USER_FIELDS)} fields, into a table with a primary key. `user-insights` is the merge of a micro-batch
of {BATCH:,} users in one transaction: it compares versions with the stored users, and keeps exact counts of twelve
dimensions, digests of the rows, what was superseded or moved, and the batch's row. `JDBC sink` is Debezium's 3.6.0 on
Kafka Connect 4.3.1, which upserts by key and does none of that; *tuned*, it has two tasks, batches of 5,000 and
rewritten inserts. It reads the users from Kafka, which the others do not. The bare `COPY` replaces nothing and is a
bound."""
VALIDITY = "all fields of all users that the contenders left were compared in a round that is not counted"


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print and save the result. `arguments` default to the process's own.

    Raises:
        RuntimeError: the contenders left different users.
        UserError: Java or a jar is missing, or a server does not start.
    """
    parser = make_parser(__doc__)
    parser.add_argument("--records", type=int, default=60_000, help=f"per round, at most {CHUNK:,}")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args(arguments)
    with configure() as c, run_contenders(c, options.records) as contenders:
        for contender in contenders.values():
            contender(0)
        with closing(connections.connect_postgres(c.postgres_settings, "benchmark")) as connection:
            require_same_users(connection, options.records)
        turns = take_turns(contenders, options.rounds, first=1)
    title = "Users into PostgreSQL"
    result = Result("merge", title, ABOUT, "users", VALIDITY, [Case("", turns)], list_arguments(parser, options))
    conclude(result, options.results)


@contextmanager
def run_contenders(c: Configuration, records: int) -> Iterator[dict[str, Callable[[int], Turn]]]:
    """Run the servers and the Connect workers. Yields the turn of each contender, given the number of the round.

    Raises:
        UserError: Java or a jar is missing, or a server does not start.
    """
    ensure_peer_jars(c.jars, c.java, "connect", jdbc_sink.PLUGIN)

    @lru_cache(maxsize=1)
    def generate(number: int) -> pa.Table:
        return Chunk(number * CHUNK, records).accepted()

    with ExitStack() as stack:
        stack.enter_context(run_servers(c.postgres, c.kafka))
        c.postgres.create_database(c.postgres_settings.dbname)
        migrate_postgres(c.postgres_settings)
        connection = stack.enter_context(closing(connections.connect_postgres(c.postgres_settings, "benchmark")))
        run_sql(connection, *(build_sql_table(table) for name, table in TABLES.items() if name != OWN))
        topics, workers = {}, {}
        for name, (properties, url_options) in SETTINGS.items():
            topics[name] = Topic(c.kafka_settings, TABLES[name])
            stack.callback(topics[name].close)
            topics[name].create(c.kafka_settings)
            workers[name] = jdbc_sink.make_worker(c, TABLES[name], properties, url_options)
        stack.enter_context(run_servers(*workers.values()))
        server = list_pids(c.postgres)

        def run_own(number: int) -> Turn:
            return measure(partial(merge, connection, generate(number), number), server, records, memory=True)

        def run_bare(number: int) -> Turn:
            return measure(partial(copy_users, connection, generate(number)), server, records, memory=True)

        def run_sink(worker: ConnectWorker, topic: Topic, pids: Mapping[str, int], number: int) -> Turn:
            last: list[str] = []

            def write() -> None:
                last.extend(jdbc_sink.produce_users(c.kafka_settings, topic, generate(number).select(USER_FIELDS)))

            def wait() -> None:
                wait_until(lambda: has_users(connection, topic.name, last), f"{topic.name} was incomplete", pause=0.05)

            return measure_backlog(worker.pid, write, wait, pids, records)

        contenders: dict[str, Callable[[int], Turn]] = {OWN: run_own}
        for name, worker in workers.items():
            pids = server | list_pids(c.kafka) | {"Connect": worker.pid}
            contenders[name] = partial(run_sink, worker, topics[name], pids)
        yield contenders | {BARE: run_bare}


def merge(connection: PgConnection, users: pa.Table, number: int) -> None:
    """Merge the users in batches."""
    for start in range(0, users.num_rows, BATCH):
        rows = users.slice(start, BATCH)
        offsets = {"users.raw": {str(number): [start, start + rows.num_rows]}}
        batch = postgres.MicroBatchId(f"benchmark {number}", start // BATCH, offsets, datetime.now(UTC))
        postgres.merge_batch(connection, batch, encode_rows(rows), ())


def copy_users(connection: PgConnection, users: pa.Table) -> None:
    """Copy the users into the table of the bare contender."""
    for start in range(0, users.num_rows, BATCH):
        text = io.BytesIO()
        options = pyarrow.csv.WriteOptions(include_header=False)
        pyarrow.csv.write_csv(users.select(USER_FIELDS).slice(start, BATCH), text, options)
        text.seek(0)
        with connection, connection.cursor() as cursor:
            cursor.copy_expert(f"COPY {TABLES[BARE]} ({', '.join(USER_FIELDS)}) FROM STDIN (FORMAT csv)", text)


def has_users(connection: PgConnection, table: str, users: Sequence[str]) -> bool:
    """Whether the table has these users."""
    [[found]] = run_sql(connection, f"SELECT count(*) FROM {table} WHERE user_id = ANY(%s::uuid[])", users)
    return bool(found == len(users))


def require_same_users(connection: PgConnection, records: int) -> None:
    """Compare the tables of the contenders.

    Raises:
        RuntimeError: they differ, or do not have so many `records`.
    """
    fields = ", ".join(USER_FIELDS)
    digest = "SELECT count(*), md5(string_agg(u::text, chr(10) ORDER BY user_id)) FROM (SELECT {} FROM {}) AS u"
    found = {name: run_sql(connection, digest.format(fields, table)) for name, table in TABLES.items()}
    for name, rows in found.items():
        if rows != found[OWN] or rows[0][0] != records:
            raise RuntimeError(f"{name} left {rows[0][0]:,} of {records:,} users, or other fields than {OWN}")


def run_sql(connection: PgConnection, *statements: Any) -> list[tuple[Any, ...]]:
    """Execute statements, or one with a parameter, in a transaction. Returns the rows of the last."""
    with connection, connection.cursor() as cursor:
        if len(statements) == 2 and not isinstance(statements[1], str):
            cursor.execute(statements[0], (statements[1],))
        else:
            for statement in statements:
                cursor.execute(statement)
        return list(cursor.fetchall()) if cursor.description else []


if __name__ == "__main__":
    run(main)
