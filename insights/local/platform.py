"""The platform of one state directory: check its prerequisites, build the graph of its steps, run it."""

import json
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from insights.clients.component_states import ComponentState, ComponentStatus, forget_states, write_states
from insights.environment import adopt_environment
from insights.errors import UserError
from insights.local import airflow
from insights.local.configuration import Address, Configuration, DemoOptions
from insights.local.home import DESCRIPTION, HomeLock, require_free_space
from insights.local.jars import ensure_jars, read_lock
from insights.local.java import find_java
from insights.local.runner import Runner, Step
from insights.local.secrets import write_private
from insights.local.supervision import ComponentEvent, Listener
from insights.migrations.kafka_topics import ensure_topics
from insights.migrations.migrate_cassandra import migrate_cassandra
from insights.migrations.migrate_postgres import migrate_postgres
from insights.settings import LocalSettings, list_overridden

INGEST_DAG = "ingest_users"


class Platform:
    """The whole pipeline on this machine. Only one runs from a state directory at a time."""

    def __init__(self, settings: LocalSettings, options: DemoOptions) -> None:
        self._settings, self._options = settings, options
        self._home = settings.home.resolve()
        self._lock = HomeLock(self._home)
        self._runner: Runner | None = None
        self._configuration: Configuration | None = None

    @property
    def configuration(self) -> Configuration:
        if self._configuration is None:
            raise RuntimeError("the platform has not been started")
        return self._configuration

    def is_ingesting(self) -> bool:
        """Whether the latest run of the ingest has not ended yet, or Airflow cannot be reached.

        Raises:
            UserError: the run failed, or a component keeps failing.
        """
        if failures := self.list_failures():
            raise UserError(failures[0])
        configuration = self.configuration
        url = configuration.airflow[0].url
        try:
            state = airflow.read_run_state(url, configuration.secrets.airflow_password, INGEST_DAG)
        except OSError:
            return True
        if state == "failed":
            raise UserError(f"The run of {INGEST_DAG} failed: see its log in Airflow, {url}.")
        return state not in airflow.ENDED

    def addresses(self) -> list[Address]:
        """The servers' addresses, available once `up` has returned; other processes call `home.read_description`."""
        return self.configuration.addresses()

    def up(self, on_event: Listener) -> None:
        """Start everything, trigger the first ingest, and return when every component is ready.

        `on_event` is called from several threads, but never concurrently. From then on, SIGTERM and SIGHUP raise
        KeyboardInterrupt in the main thread, as Ctrl-C does.

        Raises:
            UserError: a prerequisite is missing, a port is taken, or a step failed. Everything is stopped again.
        """
        self._lock.acquire()
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGHUP):
                signal.signal(number, signal.default_int_handler)
        try:
            self._start(_serialise(on_event, self._home))
        except BaseException:
            self.down()
            raise

    def list_failures(self) -> list[str]:
        """A sentence for each component that keeps failing at present."""
        return self._runner.failures if self._runner else []

    def wait(self) -> None:
        """Block until the platform is stopped."""
        assert self._runner is not None
        self._runner.wait()

    def down(self) -> None:
        """Stop everything in order, if it is running. Ctrl-C in the meantime kills what is left."""
        if self._runner:
            self._runner.stop()
            self._runner = None
        if self._lock.held:
            forget_states(self._home)
        self._lock.release()

    def _start(self, listener: Listener) -> None:
        require_free_space(self._home)
        java = find_java(self._settings.java_home)
        started = time.monotonic()
        listener(ComponentEvent("downloads", ComponentState.STARTING))
        ensure_jars(read_lock(), self._settings.jars, java)
        listener(ComponentEvent("downloads", ComponentState.READY, time.monotonic() - started))
        self._configuration = configuration = Configuration(self._settings, self._options, java)
        if ignored := list_overridden(configuration.environment):
            message = f"ignored, because the platform sets them for its own servers: {', '.join(ignored)}"
            listener(ComponentEvent("settings", ComponentState.READY, message=message))
        adopt_environment(configuration.environment, replace=True)
        steps = build_steps(
            configuration,
            self._settings.patience_seconds,
            lambda: self._runner is not None and not self._runner.stopping,
        )
        components = [step.component for step in steps if step.component]
        for component in components:
            component.stop_leftover()
        for component in components:
            component.require_free_ports()
        addresses = [asdict(address) for address in configuration.addresses()]
        description = {"environment": configuration.environment, "addresses": addresses}
        write_private(self._home / DESCRIPTION, json.dumps(description, indent=1))
        self._runner = Runner(steps, listener, self._settings.patience_seconds)
        self._runner.start()


def build_steps(configuration: Configuration, patience_seconds: float, is_wanted: Callable[[], bool]) -> list[Step]:
    """The graph of a start. Its critical path is Airflow's metadata, Airflow's processes and the first ingest.

    The ingest waits up to `patience_seconds` for its DAG, and stops waiting once `is_wanted` returns false.
    """
    c = configuration
    processes = tuple(process.name for process in c.airflow)
    api_server = processes[0]
    source = [Step("simulator", (), c.simulator)] if c.simulated else []
    monitoring = []
    if c.exporter and c.prometheus:
        monitoring = [
            Step(c.exporter.name, ("schema", "topics"), c.exporter),
            Step(c.prometheus.name, (c.exporter.name, "publisher", "stream"), c.prometheus),
        ]

    def migrate_metadata() -> None:
        airflow.migrate_airflow(c.airflow_home, c.postgres, c.secrets, c.airflow_environment)

    def create_schema() -> None:
        c.postgres.create_database(c.postgres_settings.dbname)
        migrate_postgres(c.postgres_settings)

    def trigger_ingest() -> None:
        airflow.trigger_once(
            c.airflow[0].url, c.secrets.airflow_password, INGEST_DAG, patience_seconds, is_wanted, again=c.again
        )

    return [
        Step("postgres", (), c.postgres),
        Step("kafka", (), c.kafka),
        Step("cassandra", (), c.cassandra),
        Step("airflow-metadata", ("postgres",), action=migrate_metadata),
        Step(api_server, ("airflow-metadata",), c.airflow[0]),
        *(Step(process.name, ("airflow-metadata",), process, asks=(api_server,)) for process in c.airflow[1:]),
        *source,
        Step("schema", ("postgres",), action=create_schema),
        Step("topics", ("kafka",), action=lambda: ensure_topics(c.kafka_settings)),
        Step("keyspace", ("cassandra",), action=lambda: migrate_cassandra(c.cassandra_settings)),
        Step("publisher", ("schema", "topics"), c.publisher),
        Step("stream", ("schema", "topics", "keyspace"), c.stream),
        Step("dashboard", ("schema", "keyspace"), c.dashboard),
        *monitoring,
        Step("ingest", (*processes, "schema", *(step.name for step in source)), action=trigger_ingest),
    ]


def _serialise(listener: Listener, home: Path) -> Listener:
    """Call the listener for one event at a time, and keep the components' last states in a file."""
    lock = threading.Lock()
    statuses: dict[str, ComponentStatus] = {}

    def locked(event: ComponentEvent) -> None:
        with lock:
            statuses[event.component] = ComponentStatus(event.component, event.state, event.message)
            write_states(home, list(statuses.values()))
            listener(event)

    return locked
