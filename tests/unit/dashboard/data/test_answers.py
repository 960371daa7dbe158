"""Cached answers of a store; the last good one is returned while the store is down."""

from threading import Event, Thread

import pytest

from dashboard import metrics
from dashboard.data.answers import MAX_ANSWERS, AnswerCache


class DownError(Exception):
    """What the fake store raises."""


class Clock:
    """A clock that the test sets."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Store:
    """Counts its queries, and answers 1, 2, 3, ... unless it is down."""

    def __init__(self) -> None:
        self.queries = 0
        self.down = False

    def __call__(self) -> int:
        self.queries += 1
        if self.down:
            raise DownError("no host")
        return self.queries


def read_counts():
    """Queries that the store answered, queries that failed, and answers from the cache."""
    samples = [("queries", {"outcome": "answered"}), ("queries", {"outcome": "failed"}), ("cached_answers", {})]
    names = [(f"insights_dashboard_{name}_total", {"store": "Store", **labels}) for name, labels in samples]
    return [metrics.REGISTRY.get_sample_value(*name) or 0 for name in names]


@pytest.fixture
def counted():
    """A function that returns how much the counts have grown since the test began."""
    before = read_counts()
    return lambda: tuple(now - then for now, then in zip(read_counts(), before, strict=True))


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def store():
    return Store()


@pytest.fixture
def answers(clock):
    return AnswerCache("Store", 3, (DownError,), clock)


def test_an_answer_is_cached_until_it_expires(answers, store, clock):
    assert answers.get("key", store).value == 1
    clock.now = 2.9
    assert answers.get("key", store).value == 1
    clock.now = 3.0
    assert answers.get("key", store).value == 2


def test_each_key_has_an_answer_of_its_own(answers, store):
    assert (answers.get("a", store).value, answers.get("b", store).value) == (1, 2)


def test_a_store_that_is_down_gives_the_last_good_answer_marked_stale(answers, store, clock):
    good = answers.get("key", store)
    store.down, clock.now = True, 5
    stale = answers.get("key", store)
    assert (stale.value, stale.as_of, stale.stale, stale.problem) == (1, good.as_of, True, "no host")
    assert (good.stale, good.problem) == (False, "")


def test_a_store_that_never_answered_gives_no_value_and_no_error(answers, store):
    store.down = True
    answer = answers.get("key", store)
    assert (answer.value, answer.as_of, answer.stale, answer.problem) == (None, None, True, "no host")


def test_a_store_that_is_down_is_queried_once_and_not_per_figure(answers, store, clock):
    store.down = True
    for key in ("a", "b", "c"):
        answers.get(key, store)
    assert store.queries == 1
    clock.now = 3
    answers.get("a", store)
    assert store.queries == 2


def test_the_answers_are_fresh_again_once_the_store_is_back(answers, store, clock):
    store.down = True
    answers.get("key", store)
    store.down, clock.now = False, 3
    answer = answers.get("key", store)
    assert (answer.value, answer.stale, answer.problem) == (2, False, "")


def test_a_programming_error_is_not_taken_for_a_store_that_is_down(answers):
    with pytest.raises(ZeroDivisionError):
        answers.get("key", lambda: 1 // 0)
    assert answers.get("key", lambda: 7).value == 7


def test_every_answer_is_counted_as_one_of_a_query_or_of_the_cache(answers, store, clock, counted):
    answers.get("key", store)
    assert counted() == (1, 0, 0)
    answers.get("key", store)
    assert counted() == (1, 0, 1)
    store.down, clock.now = True, 3
    answers.get("key", store)
    assert counted() == (1, 1, 1)
    answers.get("key", store)
    assert counted() == (1, 1, 2)
    answers.get("never answered", store)
    assert counted() == (1, 1, 2)


def test_a_programming_error_is_no_failed_query(answers, counted):
    with pytest.raises(ZeroDivisionError):
        answers.get("key", lambda: 1 // 0)
    assert counted() == (0, 0, 0)


def test_while_one_visitor_queries_the_store_the_others_get_the_cached_answer(answers, store, clock, counted):
    answers.get("key", store)
    clock.now = 10
    querying, go_on = Event(), Event()

    def slow() -> int:
        querying.set()
        assert go_on.wait(10)
        return 99

    visitor = Thread(target=answers.get, args=("key", slow))
    visitor.start()
    assert querying.wait(10)
    assert answers.get("key", store).value == 1
    assert counted() == (1, 0, 1)
    go_on.set()
    visitor.join(10)
    assert answers.get("key", store).value == 99


def test_the_oldest_answers_are_dropped_when_there_are_too_many(answers, store):
    for key in range(MAX_ANSWERS + 1):
        answers.get(key, store)
    answers.get(MAX_ANSWERS, store)
    assert store.queries == MAX_ANSWERS + 1
    answers.get(0, store)
    assert store.queries == MAX_ANSWERS + 2
