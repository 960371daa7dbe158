"""What applies to every page."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import streamlit as st

from dashboard.components import formatting
from tests.helpers.app_pages import PAGES, open_page, read_text

VIEWS = sorted(page.stem for page in PAGES.glob("*.py"))


@pytest.mark.parametrize("page", VIEWS)
def test_text_from_data_is_never_read_as_markup(page):
    app = open_page(page)
    assert app.dataframe or app.get("plotly_chart")
    assert "example.org" not in read_text(app)
    for chart in app.get("plotly_chart"):
        assert "<script>" not in chart.proto.spec.replace("\\u003c", "<")


def test_streamlit_finds_no_directory_of_its_older_multipage_layout():
    assert PAGES.exists()
    assert not list((PAGES.parent / "pages").glob("*.py"))


def test_an_invalid_setting_is_an_error_message(monkeypatch):
    monkeypatch.setenv("INSIGHTS_POSTGRES_PORT", "many")
    app = open_page("overview")
    assert r"INSIGHTS\_POSTGRES\_PORT" in app.error[0].value
    assert not app.metric


def test_the_id_of_a_run_can_be_copied_from_a_sentence():
    run = "manual__2026-11-21T23:28:02.556520+00:00"
    assert formatting.escape_markdown(run).replace("\\", "") == run


def test_ages_and_percentages_are_formatted_as_english_prints_them():
    now = datetime(2026, 1, 1, tzinfo=UTC)
    for seconds, text in (
        (-5, "0 s ago"),
        (59, "59 s ago"),
        (60, "1 min ago"),
        (7200, "2 h ago"),
        (180_000, "2 d ago"),
    ):
        assert formatting.format_age(now - timedelta(seconds=seconds), now) == text
    assert formatting.format_age((now - timedelta(seconds=3)).replace(tzinfo=None), now) == "3 s ago"
    assert formatting.format_age(None, now) == "never"
    shares = [formatting.format_share(*pair) for pair in ((0, 0), (0, 5), (1, 10_000_000), (1, 400))]
    assert formatting.format_change(1234.56) == "+1,234.56%"
    assert formatting.format_change(-0.5) == "\N{MINUS SIGN}0.50%"
    assert shares == ["0%", "0%", "< 0.01%", "0.25%"]


def test_the_largest_counts_are_summarized():
    counts = {"b": 2, "a": 2, "c": 1000, "d": 1, "e": 1}
    assert formatting.summarize_counts(counts, {"c": "Chile"}) == "Chile 1,000, a 2, b 2 and 2 others"
    assert formatting.summarize_counts(counts, limit=4) == "c 1,000, a 2, b 2, d 1 and 1 other"
    assert formatting.summarize_counts({}) == "none"


@pytest.mark.parametrize("page", VIEWS)
def test_a_page_that_is_not_live_does_not_refresh(page, monkeypatch):
    intervals: list[float | None] = []

    def fragment(function: object = None, *, run_every: float | None = None) -> object:
        intervals.append(run_every)
        return make_fragment(function, run_every=run_every)

    make_fragment: Any = st.fragment
    monkeypatch.setattr(st, "fragment", fragment)
    app = open_page(page)
    live = next(toggle for toggle in app.toggle if toggle.label == "Live")
    assert live.value is True
    live_intervals = [seconds for seconds in intervals if seconds]
    intervals.clear()
    live.set_value(False).run()
    assert not app.exception
    assert app.dataframe or app.get("plotly_chart")
    fragments_always_live = 1 if page == "flow" else 0
    assert len(live_intervals) > fragments_always_live
    assert len([seconds for seconds in intervals if seconds]) == fragments_always_live
