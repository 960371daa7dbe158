"""Run a graph of components: start them in parallel as dependencies allow, supervise them, stop them in reverse."""

import contextlib
import queue
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from insights.clients.component_states import ComponentState
from insights.errors import NotReadyError, UserError
from insights.local import guard
from insights.local.process import Component
from insights.local.supervision import PROGRESS_SECONDS, ComponentEvent, Listener, Supervisor

GIVE_UP_STOP_SECONDS = 5.0
"""How long a component may take to stop after a failed start, which should end at once."""
_RETRY_SECONDS = 1.0


@dataclass(frozen=True)
class Step:
    """A component to run or an idempotent action to call, and the names of the earlier steps that it depends on."""

    name: str
    after: tuple[str, ...] = ()
    component: Component | None = None
    action: Callable[[], object] | None = None
    asks: tuple[str, ...] = ()
    """Components that the readiness check of this one asks, beside those in `after`."""


class Runner:
    """Starts, supervises and stops the components of one graph.

    `patience_seconds` is how long a step of the start, or a restarted component, may take.
    """

    def __init__(
        self, steps: list[Step], listener: Listener, patience_seconds: float, pause_seconds: float = 1.0
    ) -> None:
        self._steps, self._listener, self._patience = steps, listener, patience_seconds
        self._done = {step.name: threading.Event() for step in steps}
        self._stopping = threading.Event()
        self._gave_up = False
        self._running: dict[str, float] = {}
        self._last_errors: dict[str, str] = {}
        self._supervisors = {
            step.name: Supervisor(step.component, listener, self._stopping, patience_seconds, pause_seconds)
            for step in steps
            if step.component
        }
        for name, needed in find_relied_on(steps).items():
            self._supervisors[name].relies_on = [self._supervisors[other] for other in needed]

    @property
    def stopping(self) -> bool:
        return self._stopping.is_set()

    @property
    def failures(self) -> list[str]:
        """A sentence for each component that keeps failing at present."""
        return [supervisor.failure for supervisor in self._supervisors.values() if supervisor.failure]

    def start(self) -> None:
        """Run every step. Each component is supervised from when it is first ready.

        Raises:
            UserError: a step failed. Components that were started keep running and have to be stopped.
        """
        for step in self._steps:
            self._listener(ComponentEvent(step.name, ComponentState.WAITING))
        results: queue.Queue[UserError | None] = queue.Queue()
        for step in self._steps:
            # A daemon, because an action that hangs must not delay the end of a failed start.
            threading.Thread(
                target=lambda step: results.put(self._run_step(step)), args=(step,), name=step.name, daemon=True
            ).start()
        try:
            self._collect(results)
        except BaseException:
            self._gave_up = True
            self._abandon()
            raise

    def wait(self, seconds: float | None = None) -> None:
        """Block for `seconds`, by default until the runner is stopped."""
        self._stopping.wait(seconds)

    def stop(self) -> None:
        """Stop every component before those that it depends on, or all at once after a failed start.

        Ctrl-C in the meantime kills what is left.
        """
        with self._kill_on_interrupt():
            self._abandon()
            for supervisor in self._supervisors.values():
                supervisor.join()
            levels = [self._steps] if self._gave_up else group_by_depth(self._steps)
            for level in reversed(levels):
                components = [step.component for step in level if step.component and step.component.pid]
                if components:
                    with ThreadPoolExecutor(len(components)) as pool:
                        list(pool.map(self._stop, components))

    def _collect(self, results: "queue.Queue[UserError | None]") -> None:
        left = len(self._steps)
        while left:
            try:
                error = results.get(timeout=PROGRESS_SECONDS)
            except queue.Empty:
                self._report_progress()
                continue
            if error:
                raise error
            left -= 1

    def _report_progress(self) -> None:
        for name, started in list(self._running.items()):
            component = self._supervisors[name].component if name in self._supervisors else None
            cause = component.probe_error if component else self._last_errors.get(name, "")
            message = f"still waiting: {cause}" if cause else "still waiting"
            self._listener(ComponentEvent(name, ComponentState.STARTING, time.monotonic() - started, message))

    def _run_step(self, step: Step) -> UserError | None:
        for dependency in step.after:
            while not self._done[dependency].wait(0.1):
                if self.stopping:
                    return None
        if self.stopping:
            return None
        started = self._running[step.name] = time.monotonic()
        self._listener(ComponentEvent(step.name, ComponentState.STARTING))
        try:
            if step.component:
                step.component.start()
                step.component.wait_ready(self._patience)
                self._supervisors[step.name].start()
            if step.action:
                self._call_action(step.name, step.action, started + self._patience)
        except Exception as error:
            if self.stopping:
                return None
            failure = _to_user_error(step.name, error)
            seconds = time.monotonic() - started
            self._listener(ComponentEvent(step.name, ComponentState.FAILED, seconds, str(failure)))
            return failure
        finally:
            self._running.pop(step.name)
        self._listener(ComponentEvent(step.name, ComponentState.READY, time.monotonic() - started))
        self._done[step.name].set()
        return None

    def _call_action(self, name: str, action: Callable[[], object], deadline: float) -> None:
        """Call an idempotent action until it succeeds.

        Raises:
            UserError: raised by the action; a `NotReadyError` only after the deadline.
        """
        while not self.stopping:
            try:
                action()
                return
            except NotReadyError as error:
                if time.monotonic() >= deadline:
                    raise
                self._last_errors[name] = str(error)
                self._stopping.wait(_RETRY_SECONDS)

    def _abandon(self) -> None:
        self._stopping.set()
        for supervisor in self._supervisors.values():
            supervisor.component.abandon()

    def _stop(self, component: Component) -> None:
        started = time.monotonic()
        component.stop(GIVE_UP_STOP_SECONDS if self._gave_up else None)
        self._listener(ComponentEvent(component.name, ComponentState.STOPPED, time.monotonic() - started))

    @contextlib.contextmanager
    def _kill_on_interrupt(self) -> Iterator[None]:
        def kill(*_: object) -> None:
            for supervisor in self._supervisors.values():
                if supervisor.component.pid:
                    guard.signal_session(supervisor.component.pid, signal.SIGKILL)

        if threading.current_thread() is not threading.main_thread():
            yield
            return
        previous = {number: signal.signal(number, kill) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
        try:
            yield
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)


def _to_user_error(name: str, error: Exception) -> UserError:
    """Convert another error, such as that of a full disk, to a `UserError`."""
    if isinstance(error, UserError):
        return error
    return UserError(f"{name} could not start: {str(error).strip() or type(error).__name__}")


def find_relied_on(steps: list[Step]) -> dict[str, list[str]]:
    """For each component, the others that it depends on, through any number of steps, or asks about its readiness."""
    by_name = {step.name: step for step in steps}
    reachable: dict[str, dict[str, None]] = {}
    for step in steps:
        reachable[step.name] = {other: None for name in step.after for other in (name, *reachable[name])}
    return {
        step.name: [name for name in dict.fromkeys((*reachable[step.name], *step.asks)) if by_name[name].component]
        for step in steps
        if step.component
    }


def group_by_depth(steps: list[Step]) -> list[list[Step]]:
    """Group the steps so that each depends only on steps of earlier groups."""
    depth: dict[str, int] = {}
    for step in steps:
        depth[step.name] = 1 + max((depth[dependency] for dependency in step.after), default=0)
    return [[step for step in steps if depth[step.name] == level] for level in sorted(set(depth.values()))]
