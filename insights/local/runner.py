"""Run a graph of components: start in parallel as dependencies allow, restart what dies, stop in reverse."""

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
"""Restarts of one component within `CALM_SECONDS` before the runner gives up."""
CALM_SECONDS = 300.0
LONGEST_PAUSE_SECONDS = 30.0


class ComponentState(StrEnum):
    WAITING = "waiting"
    STARTING = "starting"
    READY = "ready"
    DIED = "died"
    FAILED = "failed"
    STOPPED = "stopped"


@dataclass(frozen=True)
class ComponentEvent:
    """`component` came into `state`; `seconds` since its step began."""

    component: str
    state: ComponentState
    seconds: float = 0.0
    message: str = ""


Listener = Callable[[ComponentEvent], None]


@dataclass(frozen=True)
class Step:
    """A component or a single action, and the names of the earlier steps that it needs."""

    name: str
    after: tuple[str, ...] = ()
    component: Component | None = None
    action: Callable[[], object] | None = None


class Runner:
    """The processes of one graph, from start to stop."""

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
        """Return when every step is done and supervision has begun.

        Raises:
            UserError: a step failed; what was started still runs and has to be stopped.
        """
        for step in self._steps:
            self._listener(ComponentEvent(step.name, ComponentState.WAITING))
        with ThreadPoolExecutor(len(self._steps)) as pool:
            futures = [pool.submit(self._run, step) for step in self._steps]
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
        """Sleep until `seconds` have passed, for ever by default.

        Raises:
            UserError: a component died too often.
        """
        self._stopping.wait(seconds)
        if self._failure:
            raise self._failure

    def stop(self) -> None:
        """Stop everything, users before what they use. A second Ctrl-C meanwhile kills what is left at once."""
        with self._killing_on_interrupt():
            self._abandon()
            if self._supervisor:
                self._supervisor.join()
            for level in reversed(group_by_depth(self._steps)):
                components = [step.component for step in level if step.component and step.component.pid]
                if components:
                    with ThreadPoolExecutor(len(components)) as pool:
                        list(pool.map(self._stop, components))

    def _run(self, step: Step) -> None:
        for needed in step.after:
            while not self._done[needed].wait(0.1):
                if self.stopping:
                    return
        if self.stopping:
            return
        begun = time.monotonic()
        self._listener(ComponentEvent(step.name, ComponentState.STARTING))
        try:
            if step.component:
                step.component.start()
                step.component.wait_ready(step.component.ready_seconds)
            if step.action:
                step.action()
        except (UserError, OSError) as error:
            if not self.stopping:
                self._failure = _sentence(step.name, error)
                self._listener(
                    ComponentEvent(step.name, ComponentState.FAILED, time.monotonic() - begun, str(self._failure))
                )
                self._abandon()
            return
        self._done[step.name].set()
        self._listener(ComponentEvent(step.name, ComponentState.READY, time.monotonic() - begun))

    def _abandon(self) -> None:
        self._stopping.set()
        for step in self._steps:
            if step.component:
                step.component.abandon()

    def _supervise(self) -> None:
        deaths: dict[str, list[float]] = {}
        reasons: dict[str, str] = {}
        while not self._stopping.wait(0.5):
            for component in [step.component for step in self._steps if step.component]:
                if component.running or self.stopping:
                    continue
                recent = [at for at in deaths.get(component.name, []) if time.monotonic() - at < CALM_SECONDS]
                deaths[component.name] = [*recent, time.monotonic()]
                words = reasons.pop(component.name, "") or f"exit code {component.exit_code}: {component.last_words()}"
                self._listener(ComponentEvent(component.name, ComponentState.DIED, message=words))
                if len(recent) >= ATTEMPTS:
                    self._failure = UserError(f"{component.name} ended {len(recent) + 1} times; the last time: {words}")
                    self._listener(ComponentEvent(component.name, ComponentState.FAILED, message=str(self._failure)))
                    self._stopping.set()
                    return
                pause = min(self._pause * (2 ** len(recent) - 1), LONGEST_PAUSE_SECONDS)
                reasons[component.name] = self._restart(component, pause)

    def _restart(self, component: Component, pause_seconds: float) -> str:
        """Returns why it could not be started, empty when it was."""
        component.stop()
        if self._stopping.wait(pause_seconds):
            return ""
        begun = time.monotonic()
        self._listener(ComponentEvent(component.name, ComponentState.STARTING))
        try:
            component.start()
            component.wait_ready(component.ready_seconds)
        except (UserError, OSError) as error:
            # The next round finds it dead and reports it; one that hangs is made dead here.
            component.stop()
            return str(_sentence(component.name, error))
        self._listener(ComponentEvent(component.name, ComponentState.READY, time.monotonic() - begun))
        return ""

    def _stop(self, component: Component) -> None:
        begun = time.monotonic()
        component.stop()
        self._listener(ComponentEvent(component.name, ComponentState.STOPPED, time.monotonic() - begun))

    @contextlib.contextmanager
    def _killing_on_interrupt(self) -> Iterator[None]:
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


def _sentence(name: str, error: UserError | OSError) -> UserError:
    """What the system refuses (a full disk, a directory of another user), as what a person can mend."""
    return error if isinstance(error, UserError) else UserError(f"{name} could not start: {error}")


def group_by_depth(steps: list[Step]) -> list[list[Step]]:
    """Steps grouped so that each needs only steps of earlier groups."""
    depth: dict[str, int] = {}
    for step in steps:
        depth[step.name] = 1 + max((depth[needed] for needed in step.after), default=0)
    return [[step for step in steps if depth[step.name] == level] for level in sorted(set(depth.values()))]
