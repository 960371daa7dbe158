"""The full check of the ledger: one at a time for all visitors, beside the pages, its last result kept for each."""

import logging
from dataclasses import dataclass, field
from datetime import UTC, datetime
from threading import Lock, Thread

import streamlit as st

from dashboard.data import stores
from insights.errors import UserError
from insights.ledger import check as ledger_check
from insights.ledger.hops import Ledger

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Checks:
    lock: Lock = field(default_factory=Lock)
    started_at: datetime | None = None
    """Of the check that runs."""
    last: Ledger | None = None
    failure: str | None = None
    """Why the latest check came to no result."""


def start_check() -> None:
    """Begin a check, unless one runs."""
    checks = _checks()
    with checks.lock:
        if checks.started_at is not None:
            return
        checks.started_at = datetime.now(UTC)
    Thread(target=_run, args=(checks,), name="ledger check", daemon=True).start()


def is_running() -> bool:
    """Whether a check runs."""
    return get_started_at() is not None


def get_started_at() -> datetime | None:
    """When the check that runs was started; none when none runs."""
    return _checks().started_at


def get_last_ledger() -> Ledger | None:
    """The last result; none before the first."""
    return _checks().last


def get_last_failure() -> str | None:
    """A sentence, when the latest check came to no result: `get_last_ledger` is then an older one."""
    return _checks().failure


@st.cache_resource(show_spinner=False)
def _checks() -> _Checks:
    return _Checks()


def _run(checks: _Checks) -> None:
    try:
        checks.last, checks.failure = ledger_check.check_ledger(stores.get_store_settings()), None
    except UserError as error:
        checks.failure = str(error)
    except Exception:
        log.exception("the check of the ledger failed")
        checks.failure = "The check ended without a result; the dashboard's log says why."
    finally:
        checks.started_at = None
