"""Every page queries stores that answer from memory."""

from collections.abc import Iterator

import pytest
import streamlit as st

from tests.helpers.app_pages import HOSTILE
from tests.helpers.fake_stores import FakeStores


@pytest.fixture(autouse=True)
def fakes(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeStores]:
    st.cache_resource.clear()
    monkeypatch.setenv("INSIGHTS_DASHBOARD_CACHE_SECONDS", "0")
    fakes = FakeStores(HOSTILE)
    fakes.install(monkeypatch)
    yield fakes
    st.cache_resource.clear()
