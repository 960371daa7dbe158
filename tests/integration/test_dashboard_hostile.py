"""200 hostile names everywhere that data is shown, in headless Chromium: they appear unchanged and do nothing."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from typing import Any

import psycopg2
import pytest
from confluent_kafka import Producer
from playwright.sync_api import Browser, Locator, Page

from insights.clients.quarantine_table import insert_records
from insights.model.quarantine import QuarantineRecord
from insights.model.reasons import Reason
from insights.settings import StoreSettings
from tests.helpers.browser import Complaints, choose, launch_browser, open_tab, wait_until_drawn
from tests.helpers.dashboard_data import fill_cassandra, fill_postgres, users
from tests.helpers.dashboard_process import run_dashboard
from tests.helpers.hostile_names import NAMES
from tests.helpers.support import eventually

NOW = datetime.now(UTC)
REASONS = (Reason.BAD_EMAIL, Reason.SCHEMA, Reason.BAD_DATE, Reason.MISSING_FIELD)
ACTIVE = (
    "script, style:not([data-testid=stHtml] style), iframe, frame, object, embed, base, meta, link, form, marquee,"
    " dialog, video, audio, math, .katex,"
    " [href^='javascript:' i], [href*='example.org'], [src*='example.org'], [src=x], [srcset=x]"
)
FORMATTED = "a, b, i, em, strong, del, sub, sup, h2, h3, h4, blockquote, pre, code, li, img"
FOUND = """
tags => {
  const root = document.querySelector('#root');
  const found = [...root.querySelectorAll(tags)].map(one => one.outerHTML.slice(0, 200));
  for (const one of root.querySelectorAll('*'))
    for (const {name} of one.attributes) if (name.startsWith('on')) found.push(`${one.tagName} ${name}`);
  return found;
}
"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with launch_browser() as chromium:
        yield chromium


@pytest.fixture(scope="module")
def address(own_stores: StoreSettings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Users with these names in cities with these names; rejected records and messages that contain them.

    No page refreshes by itself, since a table that is redrawn scrolls back to its top.
    """
    people = [
        person | {"full_name": name, "city": name, "state": name, "country_code": "DE", "country": "Germany"}
        for person, name in zip(users(len(NAMES), NOW), NAMES, strict=True)
    ]
    fill_cassandra(own_stores.cassandra, people)
    connection = psycopg2.connect(**own_stores.postgres.connection("tests"))
    fill_postgres(connection, own_stores.kafka.raw_topic, [], NOW)
    with connection, connection.cursor() as cursor:
        insert_records(cursor, [_make_record(number, name) for number, name in enumerate(NAMES)])
    connection.close()
    producer = Producer(own_stores.kafka.client())
    for first in range(0, len(NAMES), 20):
        names = NAMES[first : first + 20]
        value = json.dumps({"names": names}, ensure_ascii=False)
        producer.produce(own_stores.kafka.raw_topic, value, names[0], headers=[("batch_id", names[1].encode())])
    producer.flush(30)
    log = tmp_path_factory.mktemp("dashboard") / "log"
    with run_dashboard(own_stores, log, INSIGHTS_DASHBOARD_CACHE_SECONDS="3600") as served:
        yield served


@pytest.mark.parametrize(
    ("path", "texts", "figures"),
    [
        ("/", ("Latest arrivals",), 4),
        ("/demographics", (), 4),
        ("/geography", ("Cities in Germany",), 4),
        ("/registrations", (), 4),
        ("/explore", ("users, most recently registered first",), 0),
        ("/flow", ("Published",), 0),
        ("/topics", ("Newest first",), 1),
        ("/quarantine", ("Latest rejected records",), 2),
    ],
)
def test_names_do_nothing_on_a_page(
    browser: Browser, address: str, path: str, texts: tuple[str, ...], figures: int
) -> None:
    with open_tab(browser, address + path) as (page, complaints):
        wait_until_drawn(page, texts, figures)
        for frame in page.get_by_test_id("stDataFrame").all():
            _read_cells(frame)
        _assert_inert(page, complaints)


def test_the_names_of_users_are_shown_unchanged(browser: Browser, address: str) -> None:
    shown: set[str] = set()
    with open_tab(browser, address + "/explore") as (page, complaints):
        for first in range(1, len(NAMES), 50):
            page.get_by_text(f"{first} to {first + 49}", exact=True).wait_for()
            wait_until_drawn(page)
            shown |= _read_cells(page.get_by_test_id("stDataFrame"))
            if first + 49 < len(NAMES):
                page.get_by_role("button", name="Next").click()
        _assert_inert(page, complaints)
    assert {_normalize(name) for name in NAMES} - shown == set()


def test_the_details_of_rejected_records_are_shown_unchanged(browser: Browser, address: str) -> None:
    with open_tab(browser, address + "/quarantine") as (page, complaints):
        for number, reason in enumerate(REASONS):
            wait_until_drawn(page, ["Latest rejected records"], 1, 1)
            names = {_normalize(name) for name in NAMES[number :: len(REASONS)]}
            choose(page, "Reason", reason)
            table = page.get_by_test_id("stDataFrame")
            eventually(partial(_shows_only, table, names), 60, f"the records of {reason} do not show")
            assert names - _read_cells(table) == set()
        _assert_inert(page, complaints)


def test_a_name_in_a_sentence_a_figure_and_a_table_is_its_text(
    browser: Browser, own_stores: StoreSettings, tmp_path_factory: pytest.TempPathFactory
) -> None:
    log = tmp_path_factory.mktemp("names") / "log"
    with (
        run_dashboard(
            own_stores, log, "tests/helpers/names_app.py", STREAMLIT_BROWSER_GATHER_USAGE_STATS="false"
        ) as served,
        open_tab(browser, served) as (page, complaints),
    ):
        wait_until_drawn(page, ["The end."], 1)
        sentences = [page.locator(f".st-key-name-{number}").inner_text() for number in range(len(NAMES))]
        formatted = [page.locator(f".st-key-name-{number}").locator(FORMATTED).count() for number in range(len(NAMES))]
        labels = page.locator(".js-plotly-plot .ytick text").all_text_contents()
        cells = _read_cells(page.get_by_test_id("stDataFrame"))
        _assert_inert(page, complaints)
    assert [_normalize(text) for text in sentences] == [_normalize(name) for name in NAMES]
    assert sum(formatted) == 0
    assert {_normalize(name) for name in NAMES} - {_normalize(label) for label in labels} == set()
    assert {_normalize(name) for name in NAMES} - cells == set()


def _assert_inert(page: Page, complaints: Complaints) -> None:
    assert page.evaluate(FOUND, ACTIVE) == []
    assert "owned" not in page.title()
    assert complaints.dialogs == []
    assert complaints.errors == []
    assert complaints.foreign == []


def _read_cells(frame: Locator) -> set[str]:
    """Return the texts of a table's cells.

    Only visible cells are in the page, so this scrolls from the first row to the last. It scrolls back to the first row
    beforehand, which the table does not do when its rows change.
    """
    cells = frame.locator("[role=gridcell]")
    cells.first.wait_for(state="attached")
    frame.locator(".dvn-scroller").evaluate("box => { box.scrollTop = 0; }")
    frame.locator("[role=gridcell][id$='-0']").first.wait_for(state="attached")
    shown: set[str] = set()
    moved = True
    while moved:
        seen = cells.all_text_contents()
        shown.update(map(_normalize, seen))
        moved = frame.locator(".dvn-scroller").evaluate(
            "box => { const at = box.scrollTop; box.scrollTop += 250; return box.scrollTop > at; }"
        )
        if moved:
            eventually(lambda: cells.all_text_contents() != seen, 20, "the table does not scroll")  # noqa: B023
    return shown


def _shows_only(table: Locator, names: set[str]) -> bool:
    """Whether the table shows hostile names, and only those in `names`."""
    seen = {_normalize(text) for text in table.locator("[role=gridcell]").all_text_contents()} & {
        *map(_normalize, NAMES)
    }
    return bool(seen) and seen <= names


def _normalize(text: str) -> str:
    """Remove white space that HTML folds, byte order marks, which browsers drop, and joiners, which the pages add."""
    text = text.translate(dict.fromkeys(map(ord, "\u2060\ufeff")))
    return " ".join(text.split())


def _make_record(number: int, name: str) -> QuarantineRecord:
    payload: Any = json.dumps({"name": name}).encode()
    return QuarantineRecord(
        origin=f"hostile/0/{number}",
        event_id=f"hostile/0/{number}",
        reason=REASONS[number % len(REASONS)],
        field=name,
        detail=name,
        key=name,
        batch_id=name,
        version=number,
        event_time=NOW,
        redrives=0,
        size=len(payload),
        sha256="",
        payload=payload,
    )
