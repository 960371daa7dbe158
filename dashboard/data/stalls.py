"""Since when something waits for a stage that does not move, as far as this dashboard has looked."""

from collections.abc import Hashable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from threading import Lock

import streamlit as st

PATIENCE = timedelta(minutes=2)
"""A batch takes seconds; a stage that was started again, or another that takes its place, is there within a minute."""


@dataclass(slots=True)
class StallTracker:
    """Where each stage was seen first, of those for which something waited."""

    _seen: dict[str, tuple[Hashable, datetime]] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    def look(self, stage: str, waiting: int, position: Hashable, at: datetime) -> timedelta:
        """How long something has waited for the stage while it stayed at `position`.

        `position` is to be read before `waiting`: what waited then and was not moved since waits still.
        """
        with self._lock:
            if not waiting:
                self._seen.pop(stage, None)
                return timedelta(0)
            before, since = self._seen.get(stage, (None, at))
            if before != position or at < since:
                since = at
            self._seen[stage] = (position, since)
            return at - since


@st.cache_resource(show_spinner=False)
def get_shared_tracker() -> StallTracker:
    """What all visitors have seen."""
    return StallTracker()
