"""Start everything in the order of its dependencies, keep it running, stop it in reverse."""

import contextlib
import json
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from enum import StrEnum

from insights.errors import UserError
from insights.local import airflow, guard
from insights.local.configuration import AIRFLOW_PARTS, Address, Configuration, Options
from insights.local.home import DESCRIPTION, HomeLock, refuse_full_disk
from insights.local.jars import ensure, read_lock
from insights.local.java import find_java
from insights.local.process import Component
from insights.local.secrets import write_private
from insights.migrate import ensure_topics, migrate_cassandra, migrate_postgres
from insights.settings import LocalSettings

INGEST_DAG = "ingest_users"
ATTEMPTS = 5
"""Restarts of one component within `CALM_SECONDS` before we give up."""
CALM_SECONDS = 300.0
LONGEST_PAUSE_SECONDS = 30.0


class State(StrEnum):
    WAITING = "waiting"
    STARTING = "starting"
    READY = "ready"
    DIED = "died"
    FAILED = "failed"
    STOPPED = "stopped"


@dataclass(frozen=True)
class Event:
    """`component` came into `state`; `seconds` since its step began."""

    component: str
    state: State
    seconds: float = 0.0
    message: str = ""


Listener = Callable[[Event], None]


def _unheard(_: Event) -> None:
    return


@dataclass(frozen=True)
class Step:
    """A component or a single action, and the names of the steps that it needs."""

    name: str
    after: tuple[str, ...] = ()
    component: Component | None = None
    action: Callable[[], object] | None = None


class Platform:
    """The whole pipeline from one state directory; one at a time."""

    def __init__(self, settings: LocalSettings, options: Options) -> None:
        self._settings, self._options = settings, options
        self._home = settings.home.resolve()
        self._lock = HomeLock(self._home)
        self._listener: Listener = _unheard
        self._configuration: Configuration | None = None
        self._steps: list[Step] = []
        self._done: dict[str, threading.Event] = {}
        self._stopping = threading.Event()
        self._failure: UserError | None = None
        self._supervisor: threading.Thread | None = None

    @property
    def configuration(self) -> Configuration:
        if self._configuration is None:
            raise RuntimeError("the platform was not started")
        return self._configuration

    @property
    def step_names(self) -> list[str]:
        """Every step in starting order; known once `up` has begun."""
        return [step.name for step in self._steps]

    def addresses(self) -> list[Address]:
        return self.configuration.addresses()

    def up(self, on_event: Listener) -> None:
        """Start everything, trigger the first ingest, return when all serve.

        `on_event` is called from several threads, one call at a time. From now on SIGTERM and SIGHUP raise
        KeyboardInterrupt in the main thread, as Ctrl-C does.

        Raises:
            UserError: something is missing, taken or failed; what was started is stopped again.
        """
        lock = threading.Lock()

        def listener(event: Event) -> None:
            with lock:
                on_event(event)

        self._listener = listener
        self._lock.acquire()
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGHUP):
                signal.signal(number, signal.default_int_handler)
        try:
            self._prepare()
            self._start_all()
        except BaseException:
            self.down()
            raise
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

    def down(self) -> None:
        """Stop everything, users before what they use. A second Ctrl-C meanwhile kills what is left at once."""
        with self._killing_on_interrupt():
            self._stopping.set()
            if self._supervisor:
                self._supervisor.join()
            for level in reversed(_levels(self._steps)):
                components = [step.component for step in level if step.component and step.component.pid]
                if components:
                    with ThreadPoolExecutor(len(components)) as pool:
                        list(pool.map(self._stop, components))
            self._lock.release()

    def _prepare(self) -> None:
        refuse_full_disk(self._home)
        java = find_java(self._settings.java_home)
        begun = time.monotonic()
        self._listener(Event("downloads", State.STARTING))
        ensure(read_lock(), self._settings.jars, java)
        self._listener(Event("downloads", State.READY, time.monotonic() - begun))
        self._configuration = configuration = Configuration(self._settings, self._options, java)
        self._steps = _steps(configuration, lambda: not self._stopping.is_set())
        for step in self._steps:
            if step.component:
                step.component.end_left_behind()
        for step in self._steps:
            if step.component:
                step.component.refuse_taken_ports()
        addresses = [asdict(address) for address in configuration.addresses()]
        description = {"environment": configuration.environment, "addresses": addresses}
        write_private(self._home / DESCRIPTION, json.dumps(description, indent=1))

    def _start_all(self) -> None:
        self._done = {step.name: threading.Event() for step in self._steps}
        with ThreadPoolExecutor(len(self._steps)) as pool:
            for step in self._steps:
                self._listener(Event(step.name, State.WAITING))
            futures = [pool.submit(self._run, step) for step in self._steps]
            try:
                for future in futures:
                    future.result()
            except BaseException:
                self._stopping.set()
                for step in self._steps:
                    if step.component:
                        step.component.abandon()
                raise
        if self._failure:
            raise self._failure

    def _run(self, step: Step) -> None:
        for needed in step.after:
            while not self._done[needed].wait(0.1):
                if self._stopping.is_set():
                    return
        if self._stopping.is_set():
            return
        begun = time.monotonic()
        self._listener(Event(step.name, State.STARTING))
        try:
            if step.component:
                step.component.start()
                step.component.wait_ready(step.component.ready_seconds)
            if step.action:
                step.action()
        except UserError as error:
            if not self._stopping.is_set():
                self._failure = error
                self._stopping.set()
                self._listener(Event(step.name, State.FAILED, time.monotonic() - begun, str(error)))
                for other in self._steps:
                    if other.component:
                        other.component.abandon()
            return
        self._done[step.name].set()
        self._listener(Event(step.name, State.READY, time.monotonic() - begun))

    def _supervise(self) -> None:
        deaths: dict[str, list[float]] = {}
        while not self._stopping.wait(0.5):
            for step in self._steps:
                component = step.component
                if component is None or component.running or self._stopping.is_set():
                    continue
                recent = [at for at in deaths.get(step.name, []) if time.monotonic() - at < CALM_SECONDS]
                deaths[step.name] = [*recent, time.monotonic()]
                words = component.last_words()
                self._listener(Event(step.name, State.DIED, 0, f"exit code {component.exit_code}: {words}"))
                if len(recent) >= ATTEMPTS:
                    self._failure = UserError(f"{step.name} ended {len(recent) + 1} times, the last time: {words}")
                    self._listener(Event(step.name, State.FAILED, 0, str(self._failure)))
                    self._stopping.set()
                    return
                self._restart(component, min(2.0 ** len(recent) - 1, LONGEST_PAUSE_SECONDS))

    def _restart(self, component: Component, pause_seconds: float) -> None:
        component.stop()
        if self._stopping.wait(pause_seconds):
            return
        begun = time.monotonic()
        self._listener(Event(component.name, State.STARTING))
        # A component that fails again is seen as dead by the next round, unless it hangs.
        try:
            component.start()
            component.wait_ready(component.ready_seconds)
        except UserError as error:
            self._listener(Event(component.name, State.DIED, time.monotonic() - begun, str(error)))
            component.stop()
            return
        self._listener(Event(component.name, State.READY, time.monotonic() - begun))

    def _stop(self, component: Component) -> None:
        begun = time.monotonic()
        component.stop()
        self._listener(Event(component.name, State.STOPPED, time.monotonic() - begun))

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


def _steps(configuration: Configuration, wanted: Callable[[], bool]) -> list[Step]:
    """The graph, longest way first: Airflow's metadata, its processes, the first ingest."""
    c = configuration
    processes = tuple(f"airflow-{part}" for part in AIRFLOW_PARTS)
    source = [Step("simulator", (), c.simulator)] if c.simulated else []

    def metadata() -> None:
        airflow.migrate(c.airflow_home, c.postgres, c.secrets, c.airflow_environment)

    def schema() -> None:
        c.postgres.create_database(c.postgres_settings.dbname)
        migrate_postgres(c.postgres_settings)

    def ingest() -> None:
        airflow.run_once(c.airflow[0].url, c.secrets.airflow_password, INGEST_DAG, 120, wanted)

    return [
        Step("postgres", (), c.postgres),
        Step("kafka", (), c.kafka),
        Step("cassandra", (), c.cassandra),
        Step("airflow-metadata", ("postgres",), action=metadata),
        *(Step(process.name, ("airflow-metadata",), process) for process in c.airflow),
        *source,
        Step("schema", ("postgres",), action=schema),
        Step("topics", ("kafka",), action=lambda: ensure_topics(c.kafka_settings)),
        Step("keyspace", ("cassandra",), action=lambda: migrate_cassandra(c.cassandra_settings)),
        Step("publisher", ("schema", "topics"), c.publisher),
        Step("stream", ("schema", "topics", "keyspace"), c.stream),
        Step("dashboard", ("schema", "keyspace"), c.dashboard),
        Step("ingest", (*processes, "schema", *(step.name for step in source)), action=ingest),
    ]


def _levels(steps: list[Step]) -> list[list[Step]]:
    """Steps grouped so that each needs only steps of earlier groups."""
    depth: dict[str, int] = {}
    for step in steps:
        depth[step.name] = 1 + max((depth[needed] for needed in step.after), default=0)
    return [
        [step for step in steps if depth[step.name] == level] for level in range(1, max(depth.values(), default=0) + 1)
    ]
