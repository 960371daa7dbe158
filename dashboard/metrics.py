"""The metrics of this process; in a module, since Streamlit runs the scripts of the pages anew for every visitor."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from streamlit import runtime
from streamlit.runtime.scriptrunner import RerunException
from streamlit.runtime.stats import ACTIVE_SESSIONS_FAMILY, GaugeStat

REGISTRY = CollectorRegistry()
ProcessCollector(registry=REGISTRY)

_RENDERS = Histogram(
    "insights_dashboard_render_seconds",
    "How long renders of a page took, not counting live updates of its parts.",
    ["page"],
    # Among them are the goals for a rerun, a first render and the first render of a process.
    buckets=(0.02, 0.05, 0.1, 0.2, 0.5, 1, 3, 5, 10, 30),
    registry=REGISTRY,
)
_ERRORS = Counter("insights_dashboard_errors", "Uncaught exceptions that a page has shown.", registry=REGISTRY)
_QUERIES = Counter("insights_dashboard_queries", "Queries of a store.", ["store", "outcome"], registry=REGISTRY)
_CACHED_ANSWERS = Counter(
    "insights_dashboard_cached_answers", "Answers shown without a query of the store.", ["store"], registry=REGISTRY
)
_SESSIONS = Gauge("insights_dashboard_sessions", "Pages that visitors have open.", registry=REGISTRY)


@contextmanager
def measure_render(page: str) -> Iterator[None]:
    """Measure a render, unless Streamlit breaks it off to run the script again."""
    started, broken_off = time.perf_counter(), False
    try:
        yield
    except RerunException:
        broken_off = True
        raise
    finally:
        if not broken_off:
            _RENDERS.labels(page).observe(time.perf_counter() - started)


def count_error(_: Exception) -> None:
    """Count an uncaught exception; Streamlit logs it and shows that there was one."""
    _ERRORS.inc()


def start_counting(store: str) -> None:
    """Export the counts of a store from 0, so that Prometheus sees the first query as an increase."""
    for outcome in ("answered", "failed"):
        _QUERIES.labels(store, outcome)
    _CACHED_ANSWERS.labels(store)


@contextmanager
def count_query(store: str, errors: tuple[type[Exception], ...]) -> Iterator[None]:
    """Count a query, which has failed if it raises one of the store's `errors`."""
    try:
        yield
    except errors:
        _QUERIES.labels(store, "failed").inc()
        raise
    _QUERIES.labels(store, "answered").inc()


def count_cached_answer(store: str) -> None:
    """Count an answer that was shown without a query."""
    _CACHED_ANSWERS.labels(store).inc()


def _count_sessions() -> float:
    if not runtime.exists():
        return 0
    families = runtime.get_instance().stats_mgr.get_stats([ACTIVE_SESSIONS_FAMILY])
    return sum(stat.value for stat in families[ACTIVE_SESSIONS_FAMILY] if isinstance(stat, GaugeStat))


_SESSIONS.set_function(_count_sessions)
