"""The dashboard in headless Chromium: each page in both themes and on a phone, live, and while a store is down."""

import csv
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Browser, Page

from insights.clients import connections
from insights.local.process import Component
from insights.settings import StoreSettings
from tests.helpers import simulated_day
from tests.helpers.browser import choose, launch_browser, open_tab, wait_until_drawn
from tests.helpers.dashboard_process import run_dashboard
from tests.helpers.page_looks import WIDE, Expected, PageInspector, Waiver
from tests.helpers.support import REPOSITORY, eventually

SCREENSHOTS = os.environ.get("PICTURES")
"""Where the screenshots for the documentation go; they show more users and a slower refresh."""
FOLDER = REPOSITORY / (SCREENSHOTS or "artifacts/dashboard")
NARROW = 390
PAGES = {
    "/": Expected("Overview", ("grew most in", "Is the data complete?", "Latest arrivals"), figures=4, tables=1),
    "/demographics": Expected("Demographics", ("Users by age and gender",), figures=4),
    "/geography": Expected("Geography", ("Cities in", "Users by country"), figures=4, tables=1),
    "/registrations": Expected("Registrations", ("Growth by country",), figures=4),
    "/explore": Expected("Explore", ("users, most recently registered first", "Download"), tables=1),
    "/flow": Expected("Flow", ("Ledger", "Ingest runs", "p95"), figures=2, tables=1),
    "/topics": Expected("Topics", ("Lag",), figures=1, tables=1),
    "/quarantine": Expected("Quarantine", ("Records in quarantine", "Rejected records by hour"), figures=2, tables=1),
}
FOCUSED = """
() => {
  const at = document.activeElement;
  const by = (at.getAttribute('aria-labelledby') || '').split(' ').map(id => document.getElementById(id));
  const labels = [...by, ...(at.labels || []), at.closest('label')].map(label => label?.innerText);
  return [at.getAttribute('aria-label'), ...labels, at.innerText].filter(Boolean).join(' ');
}
"""
WAIVERS = (
    Waiver("list", "[data-testid=stSidebarNavItems]", "Streamlit puts its navigation's items into boxes of its list"),
    Waiver("listitem", "[data-testid=stSidebarNavItems]", "the same: the items' parent is a box, not the list"),
)


@pytest.fixture(scope="module")
def topic_name() -> str:
    return "users"


@pytest.fixture(scope="module")
def day(own_stores: StoreSettings) -> simulated_day.Day:
    return simulated_day.create_day(own_stores, datetime.now(UTC), page_size=60 if SCREENSHOTS else 10)


@pytest.fixture(scope="module")
def address(
    own_stores: StoreSettings, day: simulated_day.Day, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    assert day.users
    seconds = "15" if SCREENSHOTS else "3"
    log = tmp_path_factory.mktemp("dashboard") / "log"
    with run_dashboard(own_stores, log, INSIGHTS_DASHBOARD_CACHE_SECONDS=seconds) as served:
        yield served


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with launch_browser() as chromium:
        yield chromium


@pytest.fixture(scope="module")
def inspector(browser: Browser, address: str) -> PageInspector:
    FOLDER.mkdir(parents=True, exist_ok=True)
    return PageInspector(browser, address, WAIVERS, FOLDER)


def test_the_navigation_lists_every_page_and_no_other(browser: Browser, address: str) -> None:
    with open_tab(browser, address) as (page, _):
        links = page.get_by_test_id("stSidebarNavLink")
        links.nth(len(PAGES) - 1).wait_for()
        assert [link.get_attribute("href") for link in links.all()] == [address + path for path in PAGES]


@pytest.mark.parametrize(
    ("width", "dark"),
    [(WIDE, False), (WIDE, True), (NARROW, False)],
    ids=[f"{WIDE}-light", f"{WIDE}-dark", f"{NARROW}-light"],
)
@pytest.mark.parametrize("path", PAGES)
def test_every_page_is_drawn_without_errors_and_without_the_internet(
    inspector: PageInspector, path: str, width: int, dark: bool
) -> None:
    inspection = inspector.inspect(path, PAGES[path], width, dark)
    assert inspection.headings[0] == PAGES[path].title
    assert inspection.tables >= PAGES[path].tables
    assert inspection.errors == []
    assert inspection.foreign == []
    assert inspection.overflow <= 0


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("path", PAGES)
def test_every_page_is_accessible(inspector: PageInspector, path: str, dark: bool) -> None:
    inspection = inspector.inspect(path, PAGES[path], WIDE, dark)
    assert inspection.violations == []
    assert inspection.unnamed == 0


def test_every_waiver_is_needed(inspector: PageInspector) -> None:
    needed: set[int] = set()
    for path, expected in PAGES.items():
        needed |= (
            inspector.inspect(path, expected, WIDE).waived | inspector.inspect(path, expected, WIDE, dark=True).waived
        )
    assert [waiver for index, waiver in enumerate(WAIVERS) if index not in needed] == []


@pytest.mark.parametrize(
    ("path", "controls"),
    [
        ("/geography", {"Live", "Region", "Country"}),
        ("/explore", {"Country", "Gender", "Registered from", "Next", "Prepare CSV"}),
        ("/flow", {"Live", "Check now", "Logarithmic scale"}),
        ("/topics", {"Live", "Topic", "Messages per page", "Refresh", "Message in full"}),
        ("/quarantine", {"Live", "hour", "day", "Reason"}),
    ],
)
def test_the_tab_key_reaches_every_page_filter_and_button(
    browser: Browser, address: str, path: str, controls: set[str]
) -> None:
    with open_tab(browser, address + path) as (page, _):
        wait_until_drawn(page, [PAGES[path].title, *PAGES[path].texts], PAGES[path].figures)
        reached = _list_tab_stops(page)
    wanted = {expected.title for expected in PAGES.values()} | controls
    assert [name for name in wanted if not any(name in label for label in reached)] == []


def test_the_ledger_is_checked_on_the_page(browser: Browser, address: str) -> None:
    with open_tab(browser, address + "/flow") as (page, complaints):
        page.get_by_role("button", name="Check now").click()
        page.get_by_text("The ledger is closed").wait_for()
        assert complaints.errors == []


def test_filters_are_in_the_address_and_a_user_is_shown_in_full_and_saved(browser: Browser, address: str) -> None:
    with open_tab(browser, f"{address}/explore?country=Australia&gender=nonsense") as (page, complaints):
        page.get_by_text("most recently registered first").first.wait_for()
        choose(page, "Age band", "45-54")
        page.wait_for_url("**age=45-54**")
        assert set(parse_qs(urlsplit(page.url).query)) == {"country", "age"}
        page.get_by_role("button", name="Prepare CSV").click()
        save = page.get_by_role("button", name="Save users_AU_45-54.csv")
        save.wait_for()
        with page.expect_download() as saved:
            save.click()
        with saved.value.path().open(encoding="utf-8-sig", newline="") as file:
            users = list(csv.DictReader(file))
        assert users
        assert {(user["country_code"], 45 <= int(user["age"]) <= 54) for user in users} == {("AU", True)}
        eventually(lambda: _select_first_row(page), 60, "the user of the first row did not show")
        card = page.get_by_test_id("stHtml").inner_text()
        assert users[0]["user_id"] in card
        assert users[0]["full_name"] in card
        assert complaints == ([], [], [])


@pytest.mark.parametrize(
    ("former", "now"), [("/Flow", "/flow"), ("/Explore?country=Australia", "/explore?country=Australia")]
)
def test_the_former_address_of_a_page_leads_to_the_page(browser: Browser, address: str, former: str, now: str) -> None:
    with open_tab(browser, address + former) as (page, complaints):
        page.wait_for_url(address + now)
        page.get_by_role("heading", level=1).get_by_text(now[1:5], exact=False).wait_for()
        links = page.get_by_test_id("stSidebarNav").get_by_role("link").all_inner_texts()
        assert len(links) == len(PAGES)
        assert complaints == ([], [], [])


def test_a_new_user_appears_on_an_open_page(
    browser: Browser, address: str, own_stores: StoreSettings, day: simulated_day.Day
) -> None:
    with open_tab(browser, address) as (page, _):
        page.get_by_text(f"{len(day.users):,}", exact=True).first.wait_for()
        count = "UPDATE user_counts SET count = %s WHERE dimension = 'country_code' AND value = 'DE'"
        germans = sum(user["country_code"] == "DE" for user in day.users)
        with connections.open_cassandra(own_stores.cassandra) as session:
            session.execute(count, (germans + 1,))
        page.get_by_text(f"{len(day.users) + 1:,}", exact=True).first.wait_for()


@pytest.mark.parametrize(
    ("path", "server", "store"),
    [
        ("/", "cassandra_server", "Cassandra"),
        ("/topics", "kafka_server", "Kafka"),
        ("/quarantine", "postgres_server", "PostgreSQL"),
    ],
)
def test_a_page_survives_an_outage_of_its_store(
    browser: Browser, address: str, path: str, server: str, store: str, request: pytest.FixtureRequest
) -> None:
    component: Component = request.getfixturevalue(server)
    expected = PAGES[path]
    with open_tab(browser, address + path, seconds=90) as (page, complaints):
        wait_until_drawn(page, expected.texts, expected.figures, expected.tables)
        component.stop()
        try:
            page.get_by_text(f"Stale: {store} does not answer").first.wait_for()
            wait_until_drawn(page, expected.texts, expected.figures, expected.tables)
            assert "Traceback" not in page.inner_text("body")
            assert page.get_by_test_id("stException").count() == 0
        finally:
            component.start()
            component.wait_ready(90)
        page.get_by_text(f"Stale: {store} does not answer").first.wait_for(state="detached")
        assert complaints.foreign == []


def _select_first_row(page: Page) -> bool:
    """Select the first row; the table is one canvas, which a refresh can replace under the mouse."""
    if not page.get_by_text("Provenance").count():
        box = page.get_by_test_id("stDataFrame").first.bounding_box()
        assert box is not None
        page.mouse.click(box["x"] + 16, box["y"] + 53)
        page.wait_for_timeout(2000)
    return page.get_by_text("Provenance").count() == 1


def _list_tab_stops(page: Page) -> list[str]:
    """Return the names of the elements that the tab key reaches."""
    names = []
    for _ in range(60):
        page.keyboard.press("Tab")
        names.append(page.evaluate(FOCUSED))
    return names
