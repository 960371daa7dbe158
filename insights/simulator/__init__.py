"""A server that answers like the Random User API, always the same for the same request, and fails on demand."""

from insights.simulator.app import create_app
from insights.simulator.faults import Fault, FaultRates
from insights.simulator.recorded import Recording

__all__ = ["Fault", "FaultRates", "Recording", "create_app"]
