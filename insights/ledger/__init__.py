"""The ledger: proof that no record was lost, invented or changed on its way, or the names of those that were."""

from insights.ledger.check import Stores, check, flow
from insights.ledger.flow import Flow
from insights.ledger.hop import Hop, Ledger, State

__all__ = ["Flow", "Hop", "Ledger", "State", "Stores", "check", "flow"]
