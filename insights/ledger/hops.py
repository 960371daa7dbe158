"""What the ledger says: one line a hop, and whether the hop holds."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

NAMED = 10
"""Ids that a hop names: enough to look them up, few enough to read."""


class LedgerState(StrEnum):
    """Whether a hop, or the whole ledger, holds."""

    CLOSED = "closed"
    """Both sides hold the same records."""
    IN_FLIGHT = "in_flight"
    """The only difference is records that are still on their way."""
    BROKEN = "broken"
    """Records are lost, invented or changed."""


@dataclass(frozen=True, slots=True)
class Hop:
    """One equation. `left` and `right` count records, `pending` those of `left` that the next stage has not reached.

    `missing` (lost on the right), `extra` (without origin on the left) and `changed` (other content) name the first
    records by id.
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

    @property
    def equal(self) -> bool:
        return self.state is LedgerState.CLOSED


@dataclass(frozen=True, slots=True)
class Ledger:
    """Every hop at one instant."""

    hops: tuple[Hop, ...]
    checked_at: datetime
    seconds: float

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
        """The hops that do not hold, the lost before the late."""
        return tuple(
            hop for state in (LedgerState.BROKEN, LedgerState.IN_FLIGHT) for hop in self.hops if hop.state is state
        )

    def as_json(self) -> dict[str, Any]:
        """The ledger as JSON types."""
        return {
            "state": self.state.value,
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
) -> Hop:
    """Judge one equation; `holds` is the sentence when it does."""
    named = {"missing": tuple(missing), "extra": tuple(extra), "changed": tuple(changed)}
    if any(named.values()) or left != right + pending:
        state = LedgerState.BROKEN
        told = [
            f"{kind} {', '.join(ids[:3])}{' ...' if len(ids) > 3 else ''}" for kind, ids in named.items() if ids
        ] or ["no record can be named"]
        sentence = f"{equation} does not hold ({left:,} against {right + pending:,}): {'; '.join(told)}."
    elif pending:
        state = LedgerState.IN_FLIGHT
        sentence = f"{pending:,} of {left:,} records are still on their way."
    else:
        state, sentence = LedgerState.CLOSED, holds
    return Hop(name, equation, left, right, pending, **named, state=state, sentence=sentence)
