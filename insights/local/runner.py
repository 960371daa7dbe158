"""Run a graph of components: start them in parallel as dependencies allow, restart those that exit, stop in reverse."""

import contextlib
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum

from insights.errors import UserError
from insights.local import guard
from insights.local.process import Component

ATTEMPTS = 5
"""Restarts of a component within `RESTART_WINDOW_SECONDS` before the runner gives up."""
RESTART_WINDOW_SECONDS = 300.0
MAX_PAUSE_SECONDS = 30.0


class ComponentState(StrEnum):
    WAITING = "waiting"
    STARTING = "starting"
    READY = "ready"
    DIED = "died"
    FAILED = "failed"
    STOPPED = "stopped"


@dataclass(frozen=True)
class ComponentEvent:
    """A component's change of state, and how many seconds the step has taken."""

    component: str
    state: ComponentState
    seconds: float = 0.0
    message: str = ""


Listener = Callable[[ComponentEvent], None]


@dataclass(frozen=True)
class Step:
    """A component to run or an action to call, and the names of the earlier steps that it depends on."""

    name: str
    after: tuple[str, ...] = ()
    component: Component | None = None
    action: Callable[[], object] | None = None


class Runner:
    """Starts, supervises and stops the components of one graph."""

    def __init__(self, steps: list[Step], listener: Listener, pause_seconds: float = 1.0) -> None:
        self._steps, self._listener, self._pause = steps, listener, pause_seconds
        self._done = {step.name: threading.Event() for step in steps}
        self._stopping = threading.Event()
        self._failure: UserError | None = None
        self._supervisor: threading.Thread | None = None

    @property
    def stopping(self) -> bool:
        return self._stopping.is_set()

    def start(self) -> None:
        """Run every step, then begin to supervise the components.

        Raises:
            UserError: a step failed. Components that were started keep running and have to be stopped.
        """
        for step in self._steps:
            self._listener(ComponentEvent(step.name, ComponentState.WAITING))
        with ThreadPoolExecutor(len(self._steps)) as pool:
            futures = [pool.submit(self._run_step, step) for step in self._steps]
            try:
                for future in futures:
                    future.result()
            except BaseException:
                self._abandon()
                raise
        if self._failure:
            raise self._failure
        self._supervisor = threading.Thread(target=self._supervise, name="supervisor", daemon=True)
        self._supervisor.start()

    def wait(self, seconds: float | None = None) -> None:
        """Block for `seconds`, by default until the runner is stopped.

        Raises:
            UserError: a component exited too often.
        """
        self._stopping.wait(seconds)
        if self._failure:
            raise self._failure

    def stop(self) -> None:
        """Stop every component before those that it depends on. Ctrl-C in the meantime kills what is left."""
        with self._kill_on_interrupt():
            self._abandon()
            if self._supervisor:
                self._supervisor.join()
            for level in reversed(group_by_depth(self._steps)):
                components = [step.component for step in level if step.component and step.component.pid]
                if components:
                    with ThreadPoolExecutor(len(components)) as pool:
                        list(pool.map(self._stop, components))

    def _run_step(self, step: Step) -> None:
        for dependency in step.after:
            while not self._done[dependency].wait(0.1):
                if self.stopping:
                    return
        if self.stopping:
            return
        started = time.monotonic()
        self._listener(ComponentEvent(step.name, ComponentState.STARTING))
        try:
            if step.component:
                step.component.start()
                step.component.wait_ready(step.component.ready_seconds)
            if step.action:
                step.action()
        except (UserError, OSError) as error:
            if not self.stopping:
                self._failure = _to_user_error(step.name, error)
                self._listener(
                    ComponentEvent(step.name, ComponentState.FAILED, time.monotonic() - started, str(self._failure))
                )
                self._abandon()
            return
        self._done[step.name].set()
        self._listener(ComponentEvent(step.name, ComponentState.READY, time.monotonic() - started))

    def _abandon(self) -> None:
        self._stopping.set()
        for step in self._steps:
            if step.component:
                step.component.abandon()

    def _supervise(self) -> None:
        exits: dict[str, list[float]] = {}
        restart_errors: dict[str, str] = {}
        while not self._stopping.wait(0.5):
            for component in [step.component for step in self._steps if step.component]:
                if component.running or self.stopping:
                    continue
                recent = [at for at in exits.get(component.name, []) if time.monotonic() - at < RESTART_WINDOW_SECONDS]
                exits[component.name] = [*recent, time.monotonic()]
                reason = restart_errors.pop(component.name, "")
                reason = reason or f"exit code {component.exit_code}: {component.read_log_tail()}"
                self._listener(ComponentEvent(component.name, ComponentState.DIED, message=reason))
                if len(recent) >= ATTEMPTS:
                    self._failure = UserError(
                        f"{component.name} failed {len(recent) + 1} times; the last error: {reason}"
                    )
                    self._listener(ComponentEvent(component.name, ComponentState.FAILED, message=str(self._failure)))
                    self._stopping.set()
                    return
                pause = min(self._pause * (2 ** len(recent) - 1), MAX_PAUSE_SECONDS)
                restart_errors[component.name] = self._restart(component, pause)

    def _restart(self, component: Component, pause_seconds: float) -> str:
        """Stop and start a component. Returns why it could not be started, an empty string if it was."""
        component.stop()
        if self._stopping.wait(pause_seconds):
            return ""
        started = time.monotonic()
        self._listener(ComponentEvent(component.name, ComponentState.STARTING))
        try:
            component.start()
            component.wait_ready(component.ready_seconds)
        except (UserError, OSError) as error:
            # The supervisor's next iteration finds it stopped, reports the error and tries again.
            component.stop()
            return str(_to_user_error(component.name, error))
        self._listener(ComponentEvent(component.name, ComponentState.READY, time.monotonic() - started))
        return ""

    def _stop(self, component: Component) -> None:
        started = time.monotonic()
        component.stop()
        self._listener(ComponentEvent(component.name, ComponentState.STOPPED, time.monotonic() - started))

    @contextlib.contextmanager
    def _kill_on_interrupt(self) -> Iterator[None]:
        def kill(*_: object) -> None:
            for step in self._steps:
                if step.component and step.component.pid:
                    guard.signal_session(step.component.pid, signal.SIGKILL)

        if threading.current_thread() is not threading.main_thread():
            yield
            return
        previous = {number: signal.signal(number, kill) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
        try:
            yield
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)


def _to_user_error(name: str, error: UserError | OSError) -> UserError:
    """Convert an operating system error, such as a full disk, to a `UserError`."""
    return error if isinstance(error, UserError) else UserError(f"{name} could not start: {error}")


def group_by_depth(steps: list[Step]) -> list[list[Step]]:
    """Group the steps so that each depends only on steps of earlier groups."""
    depth: dict[str, int] = {}
    for step in steps:
        depth[step.name] = 1 + max((depth[dependency] for dependency in step.after), default=0)
    return [[step for step in steps if depth[step.name] == level] for level in sorted(set(depth.values()))]
