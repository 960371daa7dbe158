"""The client of the Random User API: it returns a whole, verified page or raises an error, never part of a page."""

import hashlib
import ipaddress
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import requests
from tenacity import RetryCallState, Retrying, retry_if_exception, wait_random_exponential

from insights.model.codes import upper_ascii
from insights.model.quarantine import RejectedRecord
from insights.settings import SourceSettings
from insights.source import http
from insights.source.envelope import PageRequest, unpack_page
from insights.source.errors import FetchFailure, SourceError
from insights.source.secrecy import Concealer
from insights.text import mask_url

MAX_RESULTS = 5000
"""The API answers a request for more with a single row."""
MAX_PAGE = 10_000
"""The API answers a request for a later page with page 1."""
NATIONALITY_SEED_LENGTH = 18
"""The API interprets the last two characters of a seed of this length as a nationality."""

MAX_REFUSALS = 2
"""Attempts that the API may refuse with 429. A refusal that outlasts a pause is a quota, not a burst limit."""
_MAX_BATCH_ID = 250
"""Length of the longest batch id that is readable. Every message carries it."""
_BACKOFF = wait_random_exponential(multiplier=0.5, max=20)
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class FetchedPage:
    """One whole page, of which `batch_id` names all that was asked for.

    `records` are compact JSON without credentials, `rejected` the rows that are not records. `body_*` describe the
    decompressed body.
    """

    batch_id: str
    seed: str
    page: int
    records: list[bytes]
    api_version: str
    fetched_at: datetime
    """UTC, to the millisecond."""
    body_sha256: str
    body_bytes: int
    rejected: list[RejectedRecord]


def derive_seed(dag_id: str, logical_date: datetime) -> str:
    """Return the seed of a run: 16 hexadecimal characters, the same whenever the run is repeated.

    Raises:
        ValueError: the logical date has no time zone.
    """
    if logical_date.tzinfo is None:
        raise ValueError(f"The logical date {logical_date} has no time zone; give it one.")
    text = f"{dag_id}/{logical_date.astimezone(UTC).isoformat(timespec='microseconds')}"
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _get_utc_now() -> datetime:
    return datetime.now(UTC)


class SourceClient:
    """Fetches pages. A client must not be shared between threads.

    Raises:
        UserError: `INSIGHTS_SOURCE_GENDER` is unknown.
    """

    def __init__(
        self,
        settings: SourceSettings,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        now: Callable[[], datetime] = _get_utc_now,
    ) -> None:
        self._settings = settings
        self._clock, self._sleep, self._now = clock, sleep, now
        self._nationalities = frozenset(_split_names(upper_ascii(settings.nationalities)))
        self._gender = settings.gender
        self._session = requests.Session()
        self._session.headers.update(
            {"User-Agent": "user-insights", "Accept": "application/json", "Accept-Encoding": "gzip"}
        )
        headers = settings.read_headers()
        self._session.headers.update(headers)
        if "authorization" in map(str.lower, headers):
            # Otherwise a login in the URL or in ~/.netrc replaces the header.
            self._session.auth = lambda request: request
        self._conceal = Concealer(str(settings.url), headers.values())
        self._session.trust_env = not _is_loopback(settings.url.host)
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, http.DeadlineAdapter(pool_maxsize=1))

    def __enter__(self) -> "SourceClient":
        return self

    def __exit__(self, *_: object) -> None:
        self._session.close()

    @property
    def address(self) -> str:
        """The URL of the API without login and query."""
        return mask_url(str(self._settings.url)).partition("?")[0]

    def count_rows(self, results: int | None = None) -> int:
        """The number of rows that a request for `results` rows (default: the configured page size) asks for."""
        return self._settings.page_size if results is None else results

    def name_batch(self, seed: str, page: int, results: int | None = None) -> str:
        """Return the id of a page, which differs between requests for different records.

        It is `seed/page?results=...` with the filters of the request, which are a digest if they are long.
        """
        asked = {"results": self.count_rows(results)} | self._build_filters()
        query = "&".join(f"{name}={value}" for name, value in asked.items())
        if len(query) > _MAX_BATCH_ID:
            query = f"request={hashlib.sha256(query.encode()).hexdigest()[:32]}"
        return f"{seed}/{page}?{query}"

    def fetch_page(self, seed: str, page: int, results: int | None = None) -> FetchedPage:
        """Fetch a page of `results` rows (default: the configured page size) within the configured deadline.

        If a gender is configured, the whole page is fetched and verified, then rows of the other gender are dropped.

        Raises:
            SourceError: the whole page could not be fetched; `reason` is the kind of failure.
            ValueError: the API would silently return other rows for this request.
        """
        results = self.count_rows(results)
        _check_request(seed, page, results)
        started = self._clock()
        deadline = started + self._settings.deadline_seconds
        retrying = Retrying(
            retry=retry_if_exception(_may_succeed_in_time),
            stop=_Stop(self._settings.max_attempts, self._clock, deadline),
            wait=_compute_pause,
            sleep=self._sleep,
            before_sleep=_log_attempt,
            reraise=True,
        )
        try:
            return retrying(
                self._attempt, PageRequest(seed, page, results, self._nationalities, self._gender), deadline
            )
        except SourceError as error:
            attempts = retrying.statistics["attempt_number"]
            retry_after = f", Retry-After: {error.retry_after:g} s" if error.retry_after else ""
            raise SourceError(
                error.reason,
                f"page {page} of seed {seed!r} from {mask_url(str(self._settings.url))}: {error.detail}"
                f" (attempt {attempts}, after {self._clock() - started:.1f} s{retry_after})",
                error.retry_after,
            ) from None

    def _attempt(self, request: PageRequest, deadline: float) -> FetchedPage:
        limits = http.RequestLimits(
            self._settings.timeout_seconds, max(0.001, deadline - self._clock()), self._settings.max_bytes
        )
        try:
            body = http.fetch_body(
                self._session, str(self._settings.url), self._build_parameters(request), limits, self._now
            )
            fetched_at = self._now()
            unpacked = unpack_page(body, request)
        except SourceError as error:
            raise SourceError(error.reason, self._conceal(error.detail), error.retry_after) from None
        return FetchedPage(
            batch_id=self.name_batch(request.seed, request.page, request.results),
            seed=request.seed,
            page=request.page,
            records=unpacked.records,
            rejected=unpacked.rejected,
            api_version=unpacked.api_version,
            fetched_at=fetched_at.replace(microsecond=fetched_at.microsecond // 1000 * 1000),
            body_sha256=hashlib.sha256(body).hexdigest(),
            body_bytes=len(body),
        )

    def _build_parameters(self, request: PageRequest) -> dict[str, Any]:
        return {
            "format": "json",
            "seed": request.seed,
            "page": request.page,
            "results": request.results,
            **self._build_filters(),
        }

    def _build_filters(self) -> dict[str, str]:
        filters = {
            "nat": ",".join(sorted(self._nationalities)),
            "gender": self._gender,
            "inc": ",".join(sorted(set(_split_names(self._settings.include)))),
            "exc": ",".join(sorted(set(_split_names(self._settings.exclude)))),
        }
        return {name: value for name, value in filters.items() if value}


class _Stop:
    """Ends the attempts at a page."""

    def __init__(self, max_attempts: int, clock: Callable[[], float], deadline: float) -> None:
        self._max_attempts, self._clock, self._deadline = max_attempts, clock, deadline
        self._refusals = 0

    def __call__(self, state: RetryCallState) -> bool:
        error = state.outcome.exception() if state.outcome else None
        self._refusals += isinstance(error, SourceError) and error.reason is FetchFailure.RATE_LIMITED
        return (
            self._refusals >= MAX_REFUSALS
            or state.attempt_number >= self._max_attempts
            or self._clock() + state.upcoming_sleep >= self._deadline
        )


def _check_request(seed: str, page: int, results: int) -> None:
    if not seed or len(seed) == NATIONALITY_SEED_LENGTH:
        raise ValueError(f"The seed {seed!r} must not be empty or have {NATIONALITY_SEED_LENGTH} characters.")
    if not 1 <= page <= MAX_PAGE:
        raise ValueError(f"The page {page} must be between 1 and {MAX_PAGE}.")
    if not 1 <= results <= MAX_RESULTS:
        raise ValueError(f"The number of rows {results} must be between 1 and {MAX_RESULTS}.")


def _may_succeed_in_time(error: BaseException) -> bool:
    """Return whether another attempt makes sense before the page's deadline."""
    return isinstance(error, SourceError) and error.retryable and error.reason is not FetchFailure.DEADLINE


def _compute_pause(state: RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    retry_after = error.retry_after if isinstance(error, SourceError) else None
    return max(_BACKOFF(state), retry_after or 0.0)


def _log_attempt(state: RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome else None
    _log.warning("attempt %d failed, retrying in %.1f s: %s", state.attempt_number, state.upcoming_sleep, error)


def _split_names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _is_loopback(host: str | None) -> bool:
    """Return whether the host is this machine, whose requests must bypass the proxy of the environment."""
    try:
        return host == "localhost" or ipaddress.ip_address((host or "").strip("[]")).is_loopback
    except ValueError:
        return False
