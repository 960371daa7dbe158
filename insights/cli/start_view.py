"""Show a start: a live table of the components on a terminal, a line per event elsewhere."""

import time
from types import TracebackType

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from insights.clients.component_states import ComponentState
from insights.local.supervision import ComponentEvent

_COLOURS = {
    ComponentState.READY: "green",
    ComponentState.STARTING: "yellow",
    ComponentState.DIED: "red",
    ComponentState.FAILED: "red",
}


class StartView:
    """Shows events in a live table inside a `with` block on a terminal, otherwise as lines."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._events: dict[str, ComponentEvent] = {}
        self._started: dict[str, float] = {}
        self._live: Live | None = None

    def __enter__(self) -> "StartView":
        if self._console.is_terminal:
            self._live = Live(console=self._console, refresh_per_second=4, get_renderable=self._build_table)
            self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if self._live:
            self._live.stop()
            self._live = None

    def show(self, event: ComponentEvent) -> None:
        """Show one event."""
        if event.state is ComponentState.STARTING and not event.seconds:
            self._started[event.component] = time.monotonic()
        self._events[event.component] = event
        if self._live is None and (event.message or event.state is not ComponentState.WAITING):
            seconds = f" {event.seconds:.1f} s" if event.seconds else ""
            self._console.print(f"{event.component:<24} {event.state}{seconds} {event.message}".rstrip(), markup=False)

    def _build_table(self) -> Table:
        table = Table.grid(padding=(0, 2))
        for event in list(self._events.values()):
            seconds = event.seconds
            if event.state is ComponentState.STARTING:
                seconds = time.monotonic() - self._started[event.component]
            table.add_row(
                event.component,
                Text(event.state, _COLOURS.get(event.state, "dim")),
                f"{seconds:.1f} s" if seconds else "",
                Text(event.message),
            )
        return table
