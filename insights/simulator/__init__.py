"""A server that behaves like the Random User API: deterministic for a given request, with faults on demand."""

from insights.simulator.app import create_app
from insights.simulator.faults import Fault, FaultRates
from insights.simulator.recorded import Recording

__all__ = ["Fault", "FaultRates", "Recording", "create_app"]
