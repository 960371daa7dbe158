"""The result of a check: an equation per hop, whether it holds, and a sentence about it."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from insights.text import format_count

MAX_NAMED_IDS = 10
"""Maximum number of ids of a kind that a hop names."""
_IDS_IN_SENTENCE = 3


class LedgerState(StrEnum):
    """The state of a hop, or of the whole ledger."""

    CLOSED = "closed"
    """Both sides hold the same records."""
    IN_FLIGHT = "in_flight"
    """The sides differ only by records that are in flight."""
    BROKEN = "broken"
    """Records are lost, invented or changed."""


class LedgerScope(StrEnum):
    """What a check compared."""

    FULL = "full"
    INCREMENTAL = "incremental"
    """What is new since the last check, and a part of what was verified before."""


@dataclass(frozen=True, slots=True)
class Hop:
    """One equation. `left` and `right` count records; `pending` counts those of `left` that are in flight.

    `missing` (not on the right), `extra` (not on the left) and `changed` (different content) are the ids of the first
    `MAX_NAMED_IDS` records of each kind.
    """

    name: str
    equation: str
    left: int
    right: int
    pending: int
    missing: tuple[str, ...]
    extra: tuple[str, ...]
    changed: tuple[str, ...]
    state: LedgerState
    sentence: str
    uncovered: str = ""
    """What the comparison leaves out, as a clause that ends the sentence; empty if nothing."""

    @property
    def equal(self) -> bool:
        return self.state is LedgerState.CLOSED


@dataclass(frozen=True, slots=True)
class Ledger:
    """Every hop at one instant; `seconds` is the duration of the check."""

    hops: tuple[Hop, ...]
    checked_at: datetime
    seconds: float
    scope: LedgerScope = LedgerScope.FULL

    @property
    def state(self) -> LedgerState:
        states = {hop.state for hop in self.hops}
        return next(
            (state for state in (LedgerState.BROKEN, LedgerState.IN_FLIGHT) if state in states), LedgerState.CLOSED
        )

    @property
    def closed(self) -> bool:
        return self.state is LedgerState.CLOSED

    def open_hops(self) -> tuple[Hop, ...]:
        """The hops that do not hold, the broken ones before those in flight."""
        return tuple(
            hop for state in (LedgerState.BROKEN, LedgerState.IN_FLIGHT) for hop in self.hops if hop.state is state
        )

    def as_json(self) -> dict[str, Any]:
        """The ledger as a JSON object."""
        return {
            "state": self.state.value,
            "scope": self.scope.value,
            "closed": self.closed,
            "checked_at": self.checked_at.isoformat(),
            "seconds": round(self.seconds, 3),
            "hops": [{**asdict(hop), "equal": hop.equal} for hop in self.hops],
        }


def evaluate_hop(
    name: str,
    equation: str,
    left: int,
    right: int,
    *,
    holds: str,
    pending: int = 0,
    missing: Iterable[str] = (),
    extra: Iterable[str] = (),
    changed: Iterable[str] = (),
    uncovered: str = "",
    remedy: str = "",
) -> Hop:
    """Decide whether an equation holds. `holds` is the sentence of the hop if it does.

    Named ids break the equation even if both sides count the same. `uncovered` says what the comparison leaves out, and
    `remedy`, a sentence, what brings the missing records back.
    """
    ids = {"missing": tuple(missing), "extra": tuple(extra), "changed": tuple(changed)}
    if any(ids.values()) or left != right + pending:
        state = LedgerState.BROKEN
        names = [f"{kind.capitalize()}: {_join_ids(named)}." for kind, named in ids.items() if named]
        details = " ".join(names) or "The records could not be identified."
        sentence = " ".join(
            filter(None, (f"{equation} does not hold: {left:,} against {right + pending:,}.", details, remedy))
        )
    elif pending:
        state = LedgerState.IN_FLIGHT
        sentence = f"{pending:,} of {format_count(left, 'record')} {'is' if pending == 1 else 'are'} in flight."
    else:
        state, sentence = LedgerState.CLOSED, holds
    if uncovered:
        sentence = f"{sentence} Not covered: {uncovered}."
    return Hop(name, equation, left, right, pending, **ids, state=state, sentence=sentence, uncovered=uncovered)


def list_uncovered(*parts: tuple[int, str, str]) -> str:
    """Join what is left out into one clause: of each part the number, and its noun in the singular and the plural.

    Parts whose number is 0 are dropped.
    """
    return "; ".join(format_count(count, noun, plural) for count, noun, plural in parts if count)


def _join_ids(ids: Sequence[str]) -> str:
    return ", ".join(ids[:_IDS_IN_SENTENCE]) + (" and more" if len(ids) > _IDS_IN_SENTENCE else "")
