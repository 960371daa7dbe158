"""What the pages read from Cassandra: a bounded number of requests, and rows per group, not per user."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
import streamlit as st
from cassandra.connection import Connection
from streamlit.testing.v1 import AppTest

from benchmarks.common.population import Chunk, count_users
from benchmarks.dashboard import GOALS
from benchmarks.visits import record_requests, stores
from insights.clients import connections
from insights.settings import StoreSettings, to_environment
from tests.helpers.support import REPOSITORY

PAGES = sorted((REPOSITORY / "dashboard/views").glob("*.py"))
USERS = 20_000


@pytest.fixture
def servers(monkeypatch, postgres, kafka, cassandra):
    """The servers, set in the dashboard's environment, which every run reads again."""
    st.cache_resource.clear()
    for name, value in to_environment(postgres, kafka, cassandra).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("INSIGHTS_DASHBOARD_CACHE_SECONDS", "0")
    yield StoreSettings(postgres, kafka, cassandra)
    st.cache_resource.clear()


@pytest.fixture
def request_log(monkeypatch, tmp_path) -> Path:
    """A log of every request from now on, with the number of rows in its response."""
    monkeypatch.setattr(Connection, "send_msg", Connection.send_msg)
    path: Path = tmp_path / "requests"
    record_requests.record_requests(path)
    return path


def test_no_page_reads_much_from_cassandra_however_many_users_there_are(servers, request_log):
    with connections.open_cassandra(servers.cassandra) as session:
        stores.write_chunk(stores.make_writer(session), Chunk(0, USERS))
    stores.fill_counts(servers.cassandra, count_users(USERS), datetime.now(UTC))
    stores.fill_postgres(servers, USERS, count_users(USERS))
    requests_by_page, rows_by_page = {}, {}
    for path in PAGES:
        request_log.unlink(missing_ok=True)
        app = AppTest.from_file(str(path), default_timeout=60).run()
        assert not app.exception, path
        requests = request_log.read_text().splitlines() if request_log.exists() else []
        requests_by_page[path.stem] = len(requests)
        rows_by_page[path.stem] = sum(int(request.split()[1]) for request in requests)
    assert requests_by_page["overview"] > 0
    assert {name: number for name, number in requests_by_page.items() if number > GOALS["requests"]} == {}
    assert {name: number for name, number in rows_by_page.items() if number > USERS / 2} == {}
