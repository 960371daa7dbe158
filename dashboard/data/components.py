"""The states of the components, on the pages of a platform that runs on one machine."""

from insights.clients.component_states import ComponentState, ComponentStatus, read_states
from insights.settings import LocalSettings, load


def list_impaired() -> list[ComponentStatus]:
    """Return the components that are not ready, those that keep failing first; empty on Kubernetes."""
    states = read_states(load(LocalSettings).home)
    impaired = [status for status in states if status.state is not ComponentState.READY]
    return sorted(impaired, key=lambda status: status.state is not ComponentState.FAILED)
