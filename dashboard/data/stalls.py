"""Detect stages that make no progress while work waits for them, from what this process has observed."""

from collections.abc import Hashable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from threading import Lock

import streamlit as st

STALLED_AFTER = timedelta(minutes=2)
"""A batch takes seconds, and a restarted stage or its replacement is up within a minute."""


@dataclass(slots=True)
class StallTracker:
    """When each stage for which work waits was first seen at its current position."""

    _positions: dict[str, tuple[Hashable, datetime]] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    def observe(self, stage: str, waiting: int, position: Hashable, at: datetime) -> timedelta:
        """Return how long work has waited for the stage while it stayed at `position`.

        Read `position` before `waiting`, so that work done between the two reads cannot look like a stall.
        """
        with self._lock:
            if not waiting:
                self._positions.pop(stage, None)
                return timedelta(0)
            last_position, since = self._positions.get(stage, (None, at))
            if last_position != position or at < since:
                since = at
            self._positions[stage] = (position, since)
            return at - since


@st.cache_resource(show_spinner=False)
def get_shared_tracker() -> StallTracker:
    """Return the tracker that all visitors share."""
    return StallTracker()
