"""The dashboard in headless Chromium: drawn without the internet, without errors, alive, and inert to hostile names."""

import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from insights import connections
from insights.settings import inherited_environment, variables
from tests.e2e.browser import opened, visit
from tests.integration.dashboard_data import fill_cassandra, fill_postgres, users
from tests.support import eventually, free_port

ROOT = Path(__file__).parents[2]
NOW = datetime.now(UTC)


@pytest.fixture
def address(postgres, kafka, cassandra, connection, tmp_path) -> Iterator[str]:
    """A dashboard of 600 users."""
    people = users(600, NOW)
    fill_cassandra(cassandra, people)
    fill_postgres(connection, kafka.raw_topic, people, NOW)
    port = free_port()
    command = [sys.executable, "-m", "streamlit", "run", "dashboard/Home.py", "--server.address", "127.0.0.1"]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [*command, "--server.port", str(port)], cwd=ROOT, stdout=log, stderr=log,
            env=inherited_environment() | variables(postgres, kafka, cassandra),
        )  # fmt: skip
    try:
        eventually(lambda: _healthy(port), 60, "the dashboard did not start")
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(20)


@pytest.mark.parametrize(
    ("path", "texts", "charts"),
    [
        ("/", ["Overview", "600", "grew most in", "Is the data complete?", "Latest arrivals"], 4),
        ("/Demographics", ["Users by age and gender"], 4),
        ("/Geography", ["Where users live", "Cities of", "Users by country"], 4),
        ("/Registrations", ["Registrations by month", "Growth by country"], 4),
        ("/Flow", ["Published", "Ledger", "Duration of micro-batches"], 2),
        ("/Topics", ["Lag", "There is no message"], 1),
        ("/Quarantine", ["Records in quarantine", "Refused records by hour"], 2),
    ],
)
def test_every_page_is_drawn_without_errors_and_without_the_internet(address, path, texts, charts, tmp_path):
    found = visit(address + path, texts, charts, tmp_path / "page.png")
    assert found.charts == charts
    assert found.console_errors == []
    assert found.foreign_requests == []
    assert found.title != "owned"
    assert (tmp_path / "page.png").stat().st_size > 20_000


def test_a_new_user_appears_on_an_open_page(address, cassandra):
    with opened(address) as (page, _):
        page.get_by_text("600", exact=True).first.wait_for()
        with connections.cassandra(cassandra) as session:
            session.execute("UPDATE user_counts SET count = 4321 WHERE dimension = 'gender' AND value = 'female'")
            session.execute("UPDATE user_counts SET count = 1 WHERE dimension = 'gender' AND value = 'male'")
        page.get_by_text("4,322", exact=True).first.wait_for()


def _healthy(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/_stcore/health", timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False
