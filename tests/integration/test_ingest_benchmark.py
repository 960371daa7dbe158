"""The benchmark of the ingest on a real PostgreSQL."""

from contextlib import closing

import pytest

from benchmarks import ingest
from benchmarks.common.pages import serve_pages
from insights.clients import connections
from insights.settings import PostgresSettings


def test_every_contender_stages_the_same_records(postgres: PostgresSettings) -> None:
    with serve_pages(2, 50) as url, closing(connections.connect_postgres(postgres, "tests")) as connection:
        with connection, connection.cursor() as cursor:
            cursor.execute("SELECT pg_backend_pid()")
            [pid] = cursor.fetchone() or [0]
        turns = ingest.compare(connection, url, 2, 50, 1, {"PostgreSQL": pid})
        assert {name: len(measured) for name, measured in turns.items()} == dict.fromkeys(ingest.IDS, 1)
        ingest.run_sql(connection, ingest.CLEAR)
        with pytest.raises(RuntimeError, match="left 0 ids"):
            ingest.require_same_ids(connection, 100)
