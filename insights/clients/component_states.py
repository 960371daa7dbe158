"""The states of a one-machine platform's components: its runner writes them to a file, other processes read it."""

import json
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

FILE = "components.json"


class ComponentState(StrEnum):
    WAITING = "waiting"
    STARTING = "starting"
    READY = "ready"
    DIED = "died"
    FAILED = "failed"
    STOPPED = "stopped"


class ComponentStatus(NamedTuple):
    """A component, its last state, and what the runner said about it."""

    component: str
    state: ComponentState
    message: str


def write_states(home: Path, statuses: list[ComponentStatus]) -> None:
    """Replace the states in the state directory `home`; readers see either the old ones or the new ones."""
    new = home / f"{FILE}.new"
    new.write_text(json.dumps([status._asdict() for status in statuses], indent=1), encoding="utf-8")
    new.replace(home / FILE)


def forget_states(home: Path) -> None:
    """Remove the states of a platform that has been stopped."""
    (home / FILE).unlink(missing_ok=True)


def read_states(home: Path) -> list[ComponentStatus]:
    """The components' last states; empty if no platform runs from `home`, as on Kubernetes."""
    try:
        entries = json.loads((home / FILE).read_text(encoding="utf-8"))
        return [
            ComponentStatus(entry["component"], ComponentState(entry["state"]), entry["message"]) for entry in entries
        ]
    except (OSError, ValueError, KeyError, TypeError):
        return []
