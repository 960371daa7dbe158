"""The ledger: proof that no record was lost, invented or changed on its way, or the names of those that were."""

from insights.ledger.check import Stores, check, flow, progress, stalled
from insights.ledger.flow import Flow
from insights.ledger.hop import Hop, Ledger, State
from insights.ledger.progress import Progress

__all__ = ["Flow", "Hop", "Ledger", "Progress", "State", "Stores", "check", "flow", "progress", "stalled"]
