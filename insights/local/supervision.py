"""Keep one component of a running platform up: restart it when it exits, and report when it is ready again."""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from insights.clients.component_states import ComponentState
from insights.errors import NotReadyError
from insights.local.process import Component

ATTEMPTS = 5
"""Failures in a row after which a component is reported as failed. It is still restarted, at growing intervals."""
MAX_PAUSE_SECONDS = 60.0
HEALTHY_SECONDS = 120.0
"""How long a component has to stay ready before its failures are forgotten."""
PROGRESS_SECONDS = 30.0
_POLL_SECONDS = 0.1


@dataclass(frozen=True)
class ComponentEvent:
    """A component's change of state, and how many seconds the step has taken."""

    component: str
    state: ComponentState
    seconds: float = 0.0
    message: str = ""


Listener = Callable[[ComponentEvent], None]


class Supervisor:
    """Supervises one component in a thread of its own, so that no restart waits for another one.

    `relies_on` are the components without which this one may not answer: it is not restarted for being silent while one
    of them is down. A component that `exits_without_stores` is started again once they are all ready.
    """

    def __init__(
        self,
        component: Component,
        listener: Listener,
        stopping: threading.Event,
        patience_seconds: float,
        pause_seconds: float,
    ) -> None:
        self.component = component
        self.relies_on: Sequence[Supervisor] = ()
        self.ready = threading.Event()
        self.failure = ""
        """Why the component is considered to have failed; empty while it is not."""
        self._listener, self._stopping = listener, stopping
        self._patience, self._pause = patience_seconds, pause_seconds
        self._failures = 0
        self._thread = threading.Thread(target=self._supervise, name=f"{component.name} supervisor", daemon=True)

    def start(self) -> None:
        """Begin to supervise the component, which has just become ready."""
        self.ready.set()
        self._thread.start()

    def join(self) -> None:
        """Wait for the end of supervision, which `stopping` ends."""
        if self._thread.is_alive():
            self._thread.join()

    def _supervise(self) -> None:
        ready_at = time.monotonic()
        while not self._stopping.wait(_POLL_SECONDS):
            running = self.component.running
            fault = self.component.find_fault() if running else ""
            if running and not fault:
                if time.monotonic() - ready_at > HEALTHY_SECONDS:
                    self._failures = 0
                continue
            self.ready.clear()
            reason = fault or f"exit code {self.component.exit_code}: {self.component.read_log_tail()}"
            while reason and not self._stopping.is_set():
                self._wait_before_restart(reason)
                reason = self._restart()
            ready_at = time.monotonic()

    def _wait_before_restart(self, reason: str) -> None:
        """Report the failure, clean up after it, and wait until the next attempt is due."""
        self._listener(ComponentEvent(self.component.name, ComponentState.DIED, message=reason))
        self.component.stop()
        if self.component.exits_without_stores and self._list_down():
            self._wait_for_stores()
            return
        pause = min(self._pause * (2**self._failures - 1), MAX_PAUSE_SECONDS)
        self._failures += 1
        if self._failures >= ATTEMPTS:
            self.failure = (
                f"{self.component.name} failed {self._failures} times in a row and is tried again in {pause:.0f} s; "
                f"the last error: {reason}"
            )
            self._listener(ComponentEvent(self.component.name, ComponentState.FAILED, message=self.failure))
        self._stopping.wait(pause)

    def _wait_for_stores(self) -> None:
        names = ", ".join(self._list_down())
        self._listener(ComponentEvent(self.component.name, ComponentState.WAITING, message=f"for {names}"))
        while self._list_down() and not self._stopping.wait(_POLL_SECONDS):
            pass

    def _restart(self) -> str:
        """Start the component and wait until it is ready. Returns why that failed, an empty string if it did not."""
        if self._stopping.is_set():
            return ""
        started = time.monotonic()
        self._listener(ComponentEvent(self.component.name, ComponentState.STARTING))
        try:
            self.component.start()
            self._wait_ready(started)
        except Exception as error:  # One failed attempt must not end the supervision.
            return "" if self._stopping.is_set() else f"{error}" or type(error).__name__
        self.failure = ""
        self.ready.set()
        self._listener(ComponentEvent(self.component.name, ComponentState.READY, time.monotonic() - started))
        return ""

    def _wait_ready(self, started: float) -> None:
        """Wait until the component is ready.

        Raises:
            UserError: it ended, or was not ready in time although everything that it relies on was.
        """
        while True:
            try:
                self.component.wait_ready(PROGRESS_SECONDS)
            except NotReadyError as error:
                seconds = time.monotonic() - started
                if self._stopping.is_set() or (seconds > self._patience and not self._list_down()):
                    raise
                message = f"still waiting: {error}"
                self._listener(ComponentEvent(self.component.name, ComponentState.STARTING, seconds, message))
            else:
                return

    def _list_down(self) -> list[str]:
        return [supervisor.component.name for supervisor in self.relies_on if not supervisor.ready.is_set()]
