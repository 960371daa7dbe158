"""Measure how many records per second are fetched from the API and staged in PostgreSQL, and their cost in CPU time.

`python -m benchmarks.ingest [--pages N] [--page-size N] [--rounds N] [--json FILE]` starts PostgreSQL and a server of
pages that are generated beforehand. Each contender fetches the same pages and writes them to tables of its own:

* `user-insights`: what a task of `ingest_users` does: verified pages, credentials removed, keys claimed, a row per
  record and page.
* `execute_values`: `requests`, credentials popped from `login` and `id`, psycopg2's `execute_values` into a table of
  `jsonb`.
* `copy`: the same with `COPY` into a table of `json`: what PostgreSQL takes at best.

Every contender has to leave the same ids.
"""

import argparse
import io
import json
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import psycopg2
import requests
from psycopg2.extensions import connection as PgConnection
from psycopg2.extras import execute_values
from pydantic import AnyHttpUrl, SecretStr

from benchmarks.common.pages import SEED, serve_pages
from benchmarks.common.rounds import Turn, measure, order_round, summarise
from insights.local.postgres import PostgresServer
from insights.migrations.migrate_postgres import migrate_postgres
from insights.model.credentials import CREDENTIAL_FIELDS
from insights.settings import PostgresSettings, SourceSettings
from insights.source import SourceClient
from insights.staging.load import load_page
from tests.helpers.support import free_port

DATABASE = "insights"
OWN = "user-insights"
IDS = {
    OWN: "SELECT user_key::text FROM staging.user_keys",
    "execute_values": "SELECT record #>> '{login,uuid}' FROM peer_values",
    "copy": "SELECT record #>> '{login,uuid}' FROM peer_copy",
}
CLEAR = "TRUNCATE staging.user_keys, staging.users, staging.batches, peer_values, peer_copy"


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print the result. `arguments` default to the process's own.

    Raises:
        RuntimeError: the contenders left different ids.
        UserError: PostgreSQL does not start.
    """
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pages", type=int, default=10)
    parser.add_argument("--page-size", type=int, default=5000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, help="also write the result to this file")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as home, serve_pages(options.pages, options.page_size) as url:
        server = PostgresServer(Path(home), free_port())
        server.start()
        try:
            server.wait_ready(60)
            server.create_database(DATABASE)
            settings = PostgresSettings(
                host=server.host,
                port=server.port,
                dbname=DATABASE,
                user=server.user,
                password=SecretStr(server.password),
            )
            migrate_postgres(settings)
            with closing(psycopg2.connect(**server.connection(DATABASE))) as connection:
                turns = compare(connection, url, options.pages, options.page_size, options.rounds, server.pid)
        finally:
            server.stop()
    result = {"records": options.pages * options.page_size, "turns": turns}
    print(format_result(result))
    if options.json:
        options.json.write_text(json.dumps(result, default=asdict, indent=2) + "\n")


def compare(
    connection: PgConnection, url: str, pages: int, page_size: int, rounds: int, server: int
) -> dict[str, list[Turn]]:
    """The turns of each contender, after a round that is not counted and compares what they write.

    Raises:
        RuntimeError: the contenders left different ids.
    """
    run_sql(connection, "CREATE TABLE peer_values (record jsonb)", "CREATE TABLE peer_copy (record json)")
    numbers = range(1, pages + 1)
    contenders: dict[str, Callable[[], None]] = {
        OWN: partial(ingest, connection, url, numbers, page_size),
        "execute_values": partial(ingest_simply, connection, url, numbers, page_size, insert_values),
        "copy": partial(ingest_simply, connection, url, numbers, page_size, copy_rows),
    }
    run_sql(connection, CLEAR)
    for contender in contenders.values():
        contender()
    require_same_ids(connection, pages * page_size)
    turns: dict[str, list[Turn]] = {name: [] for name in contenders}
    for number in range(rounds):
        for name in order_round(list(contenders), number):
            run_sql(connection, CLEAR)
            turns[name].append(measure(contenders[name], {"postgres": server}))
            print(f"round {number + 1} {name} {turns[name][-1].seconds:.2f} s", file=sys.stderr)
    return turns


def ingest(connection: PgConnection, url: str, pages: Sequence[int], page_size: int) -> None:
    with SourceClient(SourceSettings(url=AnyHttpUrl(url), page_size=page_size, deadline_seconds=120)) as source:
        for page in pages:
            load_page(connection, source.fetch_page(SEED, page), "benchmark", "benchmark")


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


def format_result(result: dict[str, Any]) -> str:
    """A line per contender: records per second, and CPU seconds per million records by process."""
    records, turns = result["records"], result["turns"]
    rounds = len(turns[OWN])
    lines = [f"{records:,} records, {rounds} rounds (min median max)", f"{'records/s':>46}{'CPU-s per million':>36}"]
    for name, measured in turns.items():
        rates = summarise([records / turn.seconds for turn in measured])
        lines.append(f"  {name:<16}" + "".join(f"{rate:>10,.0f}" for rate in rates))
        for process in measured[0].cpu_seconds:
            costs = summarise([turn.cpu_seconds[process] / records * 1e6 for turn in measured])
            lines[-1] += f"   {process}" + "".join(f"{cost:>7.1f}" for cost in costs)
    return "\n".join(lines)


if __name__ == "__main__":
    main()
