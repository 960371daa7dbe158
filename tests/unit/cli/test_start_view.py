"""What a start shows on a terminal and in a log."""

import io
import re

import pytest
from rich.console import Console

from insights.cli.start_view import StartView
from insights.clients.component_states import ComponentState
from insights.local.supervision import ComponentEvent


def show(events: list[ComponentEvent], *, terminal: bool) -> str:
    """The console's output after these events."""
    output = io.StringIO()
    console = Console(file=output, force_terminal=terminal, width=160, highlight=False, emoji=False, color_system=None)
    with StartView(console) as view:
        for event in events:
            view.show(event)
    return output.getvalue()


EVENTS = [
    ComponentEvent("kafka", ComponentState.WAITING),
    ComponentEvent("kafka", ComponentState.STARTING),
    ComponentEvent("kafka", ComponentState.READY, 3.21),
    ComponentEvent("stream", ComponentState.FAILED, 1.0, "exit code 1: [main] ERROR [/opt/spark] :warning: no space"),
]


@pytest.mark.parametrize("terminal", [True, False])
def test_a_component_is_shown_with_its_state_seconds_and_message(terminal: bool) -> None:
    text = show(EVENTS, terminal=terminal)
    kafka = next(line for line in text.splitlines() if "kafka" in line and "ready" in line)
    assert kafka.split()[-2:] == ["3.2", "s"]
    assert "exit code 1: [main] ERROR [/opt/spark] :warning: no space" in text


def test_a_log_has_a_line_for_each_change_and_none_for_waiting() -> None:
    lines = show(EVENTS, terminal=False).splitlines()
    assert [line.split()[:2] for line in lines] == [["kafka", "starting"], ["kafka", "ready"], ["stream", "failed"]]


def test_a_terminal_ends_with_one_line_for_each_component() -> None:
    frame = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", show(EVENTS, terminal=True)).strip()
    assert [line.split()[0] for line in frame.splitlines()] == ["kafka", "stream"]


def test_a_component_that_is_starting_shows_the_seconds_so_far() -> None:
    frame = show([ComponentEvent("cassandra", ComponentState.STARTING)], terminal=True)
    assert "starting" in frame
    assert " s" in frame.rpartition("starting")[2]


def test_events_after_the_start_are_lines() -> None:
    output = io.StringIO()
    view = StartView(Console(file=output, force_terminal=True, width=160, color_system=None))
    with view:
        pass
    view.show(ComponentEvent("publisher", ComponentState.DIED, message="exit code 137"))
    assert "publisher                died exit code 137" in output.getvalue()
