"""The dashboard in headless Chromium: drawn without the internet, without errors, alive, and inert to hostile names."""

import csv
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Page

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
        ("/Explore", ["latest registered first", "Download"], 0),
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


def test_chosen_users_are_in_the_address_shown_in_full_and_saved(address):
    with opened(f"{address}/Explore?country=Australia&gender=nonsense") as (page, complaints):
        page.get_by_text("latest registered first").first.wait_for()
        page.get_by_role("combobox", name="Age band").click()
        page.get_by_role("option", name="45-54", exact=True).click()
        page.wait_for_url("**age=45-54**")
        assert set(parse_qs(urlsplit(page.url).query)) == {"country", "age"}
        page.get_by_role("button", name="Prepare CSV").click()
        save = page.get_by_role("button", name="Save users_AU_45-54.csv")
        save.wait_for()
        with page.expect_download() as saved:
            save.click()
        with saved.value.path().open(encoding="utf-8", newline="") as file:
            users = list(csv.DictReader(file))
        assert users
        assert {(user["country_code"], 45 <= int(user["age"]) <= 54) for user in users} == {("AU", True)}
        eventually(lambda: _first_row_selected(page), 60, "the user of the first row did not show")
        card = page.get_by_test_id("stHtml").inner_text()
        assert users[0]["user_id"] in card
        assert users[0]["full_name"] in card
        assert complaints == ([], [])


def test_a_new_user_appears_on_an_open_page(address, cassandra):
    with opened(address) as (page, _):
        page.get_by_text("600", exact=True).first.wait_for()
        with connections.cassandra(cassandra) as session:
            session.execute("UPDATE user_counts SET count = 4321 WHERE dimension = 'gender' AND value = 'female'")
            session.execute("UPDATE user_counts SET count = 1 WHERE dimension = 'gender' AND value = 'male'")
        page.get_by_text("4,322", exact=True).first.wait_for()


def _first_row_selected(page: Page) -> bool:
    """The table is one canvas, which a page that is being redrawn may take from under the mouse."""
    if not page.get_by_text("Provenance").count():
        box = page.get_by_test_id("stDataFrame").first.bounding_box()
        assert box is not None
        page.mouse.click(box["x"] + 16, box["y"] + 53)
        page.wait_for_timeout(2000)
    return page.get_by_text("Provenance").count() == 1


def _healthy(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/_stcore/health", timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False
