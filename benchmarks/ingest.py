"""Measure how many records per second are fetched from the API and staged in PostgreSQL, and their cost in CPU time.

`python -m benchmarks.ingest [--pages N] [--page-size N] [--rounds N]` starts PostgreSQL and a server of
pages that are generated beforehand. Each contender fetches the same pages and writes them to tables of its own:

* `user-insights`: what a task of `ingest_users` does: verified pages, credentials removed, keys claimed, a row per
  record and page.
* `execute_values`: `requests`, credentials popped from `login` and `id`, psycopg2's `execute_values` into a table of
  `jsonb`.
* `copy`: the same with `COPY` into a table of `json`: what PostgreSQL takes at best.

Every contender has to leave the same ids.
"""

import io
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from functools import partial

import psycopg2
import requests
from psycopg2.extensions import connection as PgConnection
from psycopg2.extras import execute_values

from benchmarks.common.entry import conclude, list_arguments, make_parser, run
from benchmarks.common.flow import load_pages
from benchmarks.common.pages import SEED, serve_pages
from benchmarks.common.results import Case, Result
from benchmarks.common.rounds import Turn, Turns, measure, take_turns
from benchmarks.common.servers import configure, list_pids, run_servers
from insights.migrations.migrate_postgres import migrate_postgres
from insights.model.credentials import CREDENTIAL_FIELDS

OWN = "user-insights"
IDS = {
    OWN: "SELECT user_key::text FROM staging.user_keys",
    "execute_values": "SELECT record #>> '{login,uuid}' FROM peer_values",
    "copy": "SELECT record #>> '{login,uuid}' FROM peer_copy",
}
ABOUT = """\
Pages of 5,000 records, which a server has generated and compressed beforehand, from HTTP into a table.
`user-insights` is what a task of the DAG does: it verifies the page, removes credentials, claims the keys, and writes a
row per record and page in one transaction. `execute_values` is `requests`, the credentials popped, and psycopg2's
`execute_values` into a column of `jsonb`; `copy` is the same with `COPY` into `json`. Neither verifies a page or finds
duplicates."""
VALIDITY = "the ids that the contenders left were compared in a round that is not counted"
CLEAR = "TRUNCATE staging.user_keys, staging.users, staging.batches, peer_values, peer_copy"


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print the result. `arguments` default to the process's own.

    Raises:
        RuntimeError: the contenders left different ids.
        UserError: PostgreSQL does not start.
    """
    parser = make_parser(__doc__)
    parser.add_argument("--pages", type=int, default=10)
    parser.add_argument("--page-size", type=int, default=5000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args(arguments)
    with configure() as c, serve_pages(options.pages, options.page_size) as url, run_servers(c.postgres):
        database = c.postgres_settings.dbname
        c.postgres.create_database(database)
        migrate_postgres(c.postgres_settings)
        with closing(psycopg2.connect(**c.postgres.connection(database))) as connection:
            pids = list_pids(c.postgres)
            turns = compare(connection, url, options.pages, options.page_size, options.rounds, pids)
    cases = [Case("", turns)]
    title = "Pages of the API into staging"
    result = Result("ingest", title, ABOUT, "records", VALIDITY, cases, list_arguments(parser, options))
    conclude(result, options.results)


def compare(
    connection: PgConnection, url: str, pages: int, page_size: int, rounds: int, pids: Mapping[str, int]
) -> Turns:
    """The turns of each contender, after a round that is not counted and compares what they write.

    Raises:
        RuntimeError: the contenders left different ids.
    """
    run_sql(connection, "CREATE TABLE peer_values (record jsonb)", "CREATE TABLE peer_copy (record json)")
    numbers = range(1, pages + 1)
    contenders: dict[str, Callable[[], None]] = {
        OWN: partial(load_pages, connection, url, numbers, page_size),
        "execute_values": partial(ingest_simply, connection, url, numbers, page_size, insert_values),
        "copy": partial(ingest_simply, connection, url, numbers, page_size, copy_rows),
    }
    run_sql(connection, CLEAR)
    for contender in contenders.values():
        contender()
    require_same_ids(connection, pages * page_size)

    def take_turn(name: str, _: int) -> Turn:
        run_sql(connection, CLEAR)
        return measure(contenders[name], pids, pages * page_size, memory=True)

    return take_turns({name: partial(take_turn, name) for name in contenders}, rounds)


def ingest_simply(
    connection: PgConnection,
    url: str,
    pages: Sequence[int],
    page_size: int,
    write: Callable[[PgConnection, list[str]], None],
) -> None:
    with requests.Session() as session:
        for page in pages:
            query: dict[str, str | int] = {"results": page_size, "seed": SEED, "page": page}
            records = session.get(url, params=query, timeout=60).json()["results"]
            for record in records:
                for field in CREDENTIAL_FIELDS:
                    record["login"].pop(field, None)
                record["id"].pop("value", None)
            write(connection, [json.dumps(record, ensure_ascii=False) for record in records])


def insert_values(connection: PgConnection, records: list[str]) -> None:
    with connection, connection.cursor() as cursor:
        execute_values(cursor, "INSERT INTO peer_values VALUES %s", [(record,) for record in records], page_size=1000)


def copy_rows(connection: PgConnection, records: list[str]) -> None:
    text = "".join(f"{record}\n" for record in records).replace("\\", "\\\\")
    with connection, connection.cursor() as cursor:
        cursor.copy_expert("COPY peer_copy FROM STDIN", io.StringIO(text))


def require_same_ids(connection: PgConnection, records: int) -> None:
    """Compare what the contenders have written.

    Raises:
        RuntimeError: it differs, or there are not as many `records`.
    """
    with connection, connection.cursor() as cursor:
        written = {}
        for name, statement in IDS.items():
            cursor.execute(statement)
            written[name] = sorted(row[0] for row in cursor.fetchall())
    for name, ids in written.items():
        if len(ids) != records or ids != written[OWN]:
            raise RuntimeError(f"{name} left {len(ids):,} ids, {OWN} {len(written[OWN]):,} of {records:,}")


def run_sql(connection: PgConnection, *statements: str) -> None:
    with connection, connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


if __name__ == "__main__":
    run(main)
