"""What the dashboard counts, and which runs of a page are a render."""

from contextlib import suppress

import pytest
from streamlit.runtime.scriptrunner import RerunException, StopException
from streamlit.runtime.scriptrunner_utils.script_requests import RerunData

from dashboard import metrics
from dashboard.data import stores
from insights.errors import UserError


def read(name: str, **labels: str) -> float:
    value = metrics.REGISTRY.get_sample_value(f"insights_dashboard_{name}", labels)
    return 0.0 if value is None else value


def count_renders(page: str) -> float:
    return read("render_seconds_count", page=page)


@pytest.mark.parametrize("end", [None, ValueError("a defect"), StopException()])
def test_a_page_that_ends_is_a_render_however_it_ends(end: BaseException | None) -> None:
    before = count_renders("Flow")
    with suppress(ValueError, StopException), metrics.measure_render("Flow"):
        if end:
            raise end
    assert count_renders("Flow") == before + 1


def test_a_page_that_is_broken_off_for_another_run_is_no_render() -> None:
    before = count_renders("Topics")
    with pytest.raises(RerunException), metrics.measure_render("Topics"):
        raise RerunException(RerunData())
    assert count_renders("Topics") == before


def test_a_store_is_exported_before_its_first_query() -> None:
    metrics.start_counting("New")
    for outcome in ("answered", "failed"):
        assert (
            metrics.REGISTRY.get_sample_value("insights_dashboard_queries_total", {"store": "New", "outcome": outcome})
            == 0
        )
    assert metrics.REGISTRY.get_sample_value("insights_dashboard_cached_answers_total", {"store": "New"}) == 0


def test_a_query_for_a_download_is_counted_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stores, "_get_session", lambda: None)
    answered, failed = (read("queries_total", store="Cassandra", outcome=outcome) for outcome in ("answered", "failed"))
    assert stores.read_cassandra(lambda _: 7) == 7

    def fail(_: object) -> None:
        raise OSError("unreachable")

    with pytest.raises(UserError, match="Cassandra does not answer"):
        stores.read_cassandra(fail)
    assert read("queries_total", store="Cassandra", outcome="answered") == answered + 1
    assert read("queries_total", store="Cassandra", outcome="failed") == failed + 1
