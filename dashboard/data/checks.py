"""The full check of the ledger. It runs in the background, one at a time, and all visitors share its last result."""

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
class _CheckState:
    lock: Lock = field(default_factory=Lock)
    started_at: datetime | None = None
    """Set while a check is running."""
    last_ledger: Ledger | None = None
    failure: str | None = None
    """Why the latest check produced no result."""


def start_check() -> None:
    """Start a check, unless one is running."""
    state = _get_state()
    with state.lock:
        if state.started_at is not None:
            return
        state.started_at = datetime.now(UTC)
    Thread(target=_run_check, args=(state,), name="ledger check", daemon=True).start()


def is_running() -> bool:
    """Whether a check is running."""
    return get_started_at() is not None


def get_started_at() -> datetime | None:
    """Return when the running check was started, None if none is running."""
    return _get_state().started_at


def get_last_ledger() -> Ledger | None:
    """Return the last result, None before the first."""
    return _get_state().last_ledger


def get_last_failure() -> str | None:
    """Return an error message if the latest check produced no result; `get_last_ledger` then returns an older one."""
    return _get_state().failure


@st.cache_resource(show_spinner=False)
def _get_state() -> _CheckState:
    return _CheckState()


def _run_check(state: _CheckState) -> None:
    try:
        state.last_ledger, state.failure = ledger_check.check_ledger(stores.get_store_settings()), None
    except UserError as error:
        state.failure = str(error)
    except Exception:
        log.exception("the check of the ledger failed")
        state.failure = "The check ended without a result; see the dashboard's log."
    finally:
        state.started_at = None
