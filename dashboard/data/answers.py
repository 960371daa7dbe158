"""A cache of a store's answers. While the store is down, it returns the last good answer."""

import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from threading import Lock
from typing import Any, Generic, TypeVar

from dashboard import metrics

T = TypeVar("T")
log = logging.getLogger(__name__)

MAX_ANSWERS = 256
"""Per store, so that a visitor who tries every filter cannot fill the memory."""


@dataclass(frozen=True, slots=True)
class CachedAnswer(Generic[T]):
    """The `value` as of `as_of`, both None if the store has never answered. `stale` if the last query failed."""

    value: T | None
    as_of: datetime | None
    stale: bool = False
    problem: str = ""
    """The store's error message, while stale."""


@dataclass(slots=True)
class _Entry:
    lock: Lock = field(default_factory=Lock)
    answer: CachedAnswer[Any] | None = None
    expires: float = 0.0


class AnswerCache:
    """One store's answers by key, shared by all visitors: one queries the store, the others get the cached answer.

    After a failure the store is not queried for `seconds`, so that a page waits for it once, not once per figure.
    """

    def __init__(
        self,
        store: str,
        seconds: float,
        errors: tuple[type[Exception], ...],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.store = store
        self._seconds = seconds
        self._errors = errors
        self._clock = clock
        self._down_until = float("-inf")
        self._problem = ""
        self._entries: OrderedDict[Hashable, _Entry] = OrderedDict()
        self._lock = Lock()
        metrics.start_counting(store)

    def get(self, key: Hashable, query: Callable[[], T]) -> CachedAnswer[T]:
        """Return the answer for `key`, from `query` if none is cached or it has expired. Does not raise `errors`."""
        entry = self._get_entry(key)
        cached = entry.answer
        if cached is not None and not entry.lock.acquire(blocking=False):
            metrics.count_cached_answer(self.store)
            return cached
        if cached is None:
            entry.lock.acquire()
        try:
            now = self._clock()
            if entry.answer is None or now >= entry.expires:
                self._refresh(entry, query, now)
            else:
                metrics.count_cached_answer(self.store)
            return entry.answer or CachedAnswer(None, None, stale=True, problem=self._problem)
        finally:
            entry.lock.release()

    def _refresh(self, entry: _Entry, query: Callable[[], T], now: float) -> None:
        if now >= self._down_until:
            queried_at = datetime.now(UTC)
            try:
                with metrics.count_query(self.store, self._errors):
                    entry.answer = CachedAnswer(query(), queried_at)
                entry.expires = self._clock() + self._seconds
                self._problem = ""
                return
            except self._errors as error:
                if not self._problem:
                    log.warning("%s did not answer: %s", self.store, error)
                self._problem, self._down_until = str(error) or type(error).__name__, self._clock() + self._seconds
        elif entry.answer:
            metrics.count_cached_answer(self.store)
        if entry.answer:
            entry.answer = CachedAnswer(entry.answer.value, entry.answer.as_of, stale=True, problem=self._problem)

    def _get_entry(self, key: Hashable) -> _Entry:
        with self._lock:
            entry = self._entries.setdefault(key, _Entry())
            self._entries.move_to_end(key)
            if len(self._entries) > MAX_ANSWERS:
                self._entries.popitem(last=False)
            return entry
