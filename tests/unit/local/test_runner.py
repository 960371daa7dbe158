import threading
import time
from functools import partial
from typing import Any

import pytest

from insights.clients.component_states import ComponentState
from insights.errors import NotReadyError, UserError
from insights.local import runner, supervision
from insights.local.runner import Runner, Step, find_relied_on, group_by_depth
from tests.helpers.support import eventually


class FakeComponent:
    """A component without a process that records its calls in a shared journal.

    It is never ready while `silent` is set.
    """

    def __init__(self, name, journal, fails=False, exits_without_stores=False):
        self.name, self.journal, self.fails = name, journal, fails
        self.exits_without_stores = exits_without_stores
        self.pid, self.running, self.exit_code, self.abandoned = 0, False, None, False
        self.silent, self.probe_error = threading.Event(), "connection refused"
        self.fault = ""

    def start(self):
        self.pid, self.running, self.fault = 1 << 22, True, ""
        self.journal.append(("start", self.name))

    def wait_ready(self, seconds):
        if self.fails:
            self.running, self.exit_code = False, 3
            raise UserError(f"{self.name} ended with exit code 3: out of luck")
        deadline = time.monotonic() + seconds
        while self.silent.is_set():
            if self.abandoned or time.monotonic() > deadline:
                raise NotReadyError(f"{self.name} did not answer")
            time.sleep(0.005)

    def abandon(self):
        self.abandoned = True

    def stop(self, seconds=None):
        self.running, self.stop_seconds = False, seconds
        self.journal.append(("stop", self.name))

    def find_fault(self):
        return self.fault

    def read_log_tail(self):
        return "out of luck"

    def die(self):
        self.running, self.exit_code = False, 3


@pytest.fixture
def journal():
    return []


@pytest.fixture
def events():
    return []


def component(name, journal, **options) -> Any:
    return FakeComponent(name, journal, **options)


def make_runner(steps, events, patience=20.0):
    return Runner(steps, events.append, patience, pause_seconds=0.01)


def states(events, name):
    return [event.state for event in events if event.component == name]


@pytest.fixture
def talkative(monkeypatch):
    monkeypatch.setattr(supervision, "PROGRESS_SECONDS", 0.05)
    monkeypatch.setattr(runner, "PROGRESS_SECONDS", 0.05)


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(runner, "_RETRY_SECONDS", 0.01)
    monkeypatch.setattr(supervision, "_POLL_SECONDS", 0.01)
    monkeypatch.setattr(supervision, "MAX_PAUSE_SECONDS", 0.05)


def test_a_step_starts_after_its_dependencies_and_stops_before_them(journal, events):
    store, user = component("store", journal), component("user", journal)
    steps = [
        Step("store", (), store),
        Step("schema", ("store",), action=lambda: journal.append(("migrate", "schema"))),
        Step("user", ("schema",), user),
    ]
    running = make_runner(steps, events)
    running.start()
    running.stop()
    assert journal == [
        ("start", "store"),
        ("migrate", "schema"),
        ("start", "user"),
        ("stop", "user"),
        ("stop", "store"),
    ]
    assert [event.state for event in events if event.component == "user"] == [
        ComponentState.WAITING,
        ComponentState.STARTING,
        ComponentState.READY,
        ComponentState.STOPPED,
    ]


def test_independent_steps_run_concurrently(events):
    barrier = threading.Barrier(2, timeout=10)
    running = make_runner([Step("one", (), action=barrier.wait), Step("two", (), action=barrier.wait)], events)
    running.start()
    running.stop()
    assert not barrier.broken


def test_a_failed_step_is_named_and_its_dependents_never_start(journal, events):
    good, bad = component("good", journal), component("bad", journal, fails=True)
    blocked = component("blocked", journal)
    running = make_runner(
        [Step("good", (), good), Step("bad", ("good",), bad), Step("blocked", ("bad",), blocked)], events
    )
    with pytest.raises(UserError, match="bad ended with exit code 3: out of luck"):
        running.start()
    running.stop()
    assert ("start", "blocked") not in journal
    assert ("stop", "good") in journal
    assert [event.component for event in events if event.state is ComponentState.FAILED] == ["bad"]
    assert good.abandoned


def test_a_component_that_dies_is_reported_and_restarted(journal, events):
    program = component("publisher", journal)
    running = make_runner([Step("publisher", (), program)], events)
    running.start()
    program.die()
    eventually(lambda: journal.count(("start", "publisher")) == 2, 10)
    eventually(lambda: events[-1].state is ComponentState.READY, 10)
    died = next(event for event in events if event.state is ComponentState.DIED)
    assert died.message == "exit code 3: out of luck"
    running.stop()


def test_a_component_that_runs_with_a_fault_is_restarted(journal, events):
    scheduler = component("scheduler", journal)
    running = make_runner([Step("scheduler", (), scheduler)], events)
    running.start()
    scheduler.fault = "a worker has died"
    eventually(lambda: states(events, "scheduler").count(ComponentState.READY) == 2, 10)
    assert journal == [("start", "scheduler"), ("stop", "scheduler"), ("start", "scheduler")]
    assert next(event for event in events if event.state is ComponentState.DIED).message == "a worker has died"
    running.stop()


def test_a_component_that_keeps_failing_is_named_and_retried_while_the_others_stay_up(journal, events):
    stream, store = component("stream", journal), component("store", journal)
    running = make_runner([Step("store", (), store), Step("stream", ("store",), stream)], events)
    running.start()
    stream.fails = True
    stream.die()
    eventually(lambda: running.failures, 10)
    failed = next(event for event in events if event.state is ComponentState.FAILED)
    assert failed.message == (
        "stream failed 5 times in a row and is tried again in 0 s; "
        "the last error: stream ended with exit code 3: out of luck"
    )
    attempts = journal.count(("start", "stream"))
    eventually(lambda: journal.count(("start", "stream")) > attempts, 10)
    assert store.running
    assert not running.stopping
    stream.fails = False
    eventually(lambda: events[-1].component == "stream" and events[-1].state is ComponentState.READY, 10)
    assert running.failures == []
    running.stop()


def test_failures_are_forgotten_once_a_component_has_been_healthy_for_a_while(journal, events, monkeypatch):
    monkeypatch.setattr(supervision, "HEALTHY_SECONDS", 0.1)
    program = component("publisher", journal)
    running = make_runner([Step("publisher", (), program)], events)
    running.start()
    for _ in range(supervision.ATTEMPTS):
        starts = journal.count(("start", "publisher"))
        program.die()
        eventually(partial(lambda before: journal.count(("start", "publisher")) > before, starts), 10)
        eventually(lambda: running._supervisors["publisher"]._failures == 0, 10)
    assert ComponentState.FAILED not in states(events, "publisher")
    running.stop()


def test_a_store_is_restarted_while_a_component_that_needs_it_is_not_ready(journal, events):
    kafka, publisher = component("kafka", journal), component("publisher", journal)
    running = make_runner([Step("kafka", (), kafka), Step("publisher", ("kafka",), publisher)], events)
    running.start()
    publisher.silent.set()
    publisher.die()
    eventually(lambda: journal.count(("start", "publisher")) == 2, 10)
    kafka.die()
    eventually(lambda: states(events, "kafka")[-1] is ComponentState.READY and len(states(events, "kafka")) > 3, 10)
    assert states(events, "publisher")[-1] is ComponentState.STARTING
    publisher.silent.clear()
    eventually(lambda: states(events, "publisher")[-1] is ComponentState.READY, 10)
    running.stop()


@pytest.mark.usefixtures("talkative")
def test_a_component_is_not_restarted_for_silence_while_a_store_is_down(journal, events):
    kafka, publisher = component("kafka", journal), component("publisher", journal)
    running = make_runner([Step("kafka", (), kafka), Step("publisher", ("kafka",), publisher)], events, patience=0.1)
    running.start()
    kafka.silent.set()
    publisher.silent.set()
    for program in (kafka, publisher):
        program.die()
    eventually(lambda: journal.count(("start", "kafka")) == 4, 10)
    assert journal.count(("start", "publisher")) == 2
    waiting = [event.message for event in events if event.component == "publisher" and event.seconds and event.message]
    assert waiting[0] == "still waiting: publisher did not answer"
    kafka.silent.clear()
    eventually(lambda: journal.count(("start", "publisher")) == 3, 10, "its own silence must count again")
    running.stop()


def test_a_component_that_exits_without_its_store_is_started_as_soon_as_that_is_back(journal, events):
    store = component("postgres", journal)
    scheduler = component("scheduler", journal, exits_without_stores=True)
    steps = [Step("postgres", (), store), Step("metadata", ("postgres",)), Step("scheduler", ("metadata",), scheduler)]
    running = make_runner(steps, events)
    running.start()
    store.silent.set()
    store.die()
    eventually(lambda: states(events, "postgres")[-1] is ComponentState.STARTING, 10)
    for _ in range(supervision.ATTEMPTS):
        scheduler.die()
    eventually(lambda: [event.message for event in events if event.component == "scheduler"][-1] == "for postgres", 10)
    assert journal.count(("start", "scheduler")) == 1
    store.silent.clear()
    eventually(lambda: states(events, "scheduler")[-1] is ComponentState.READY, 10)
    assert running._supervisors["scheduler"]._failures == 0
    running.stop()


def test_a_component_is_supervised_while_others_are_still_starting(journal, events):
    release = threading.Event()
    store = component("store", journal)
    running = make_runner([Step("store", (), store), Step("slow", (), action=lambda: release.wait(20))], events)
    starting = threading.Thread(target=running.start)
    starting.start()
    eventually(lambda: store.running, 10)
    eventually(lambda: states(events, "store")[-1] is ComponentState.READY, 10)
    store.die()
    eventually(lambda: journal.count(("start", "store")) == 2, 10)
    release.set()
    starting.join(10)
    running.stop()


def test_an_action_is_retried_while_a_server_is_not_ready(events):
    answers = iter([NotReadyError("Cassandra did not answer a statement"), None])

    def migrate():
        if error := next(answers):
            raise error

    running = make_runner([Step("keyspace", (), action=migrate)], events)
    running.start()
    running.stop()
    assert states(events, "keyspace") == [ComponentState.WAITING, ComponentState.STARTING, ComponentState.READY]


@pytest.mark.usefixtures("talkative")
def test_what_a_start_waits_for_is_said(journal, events):
    cassandra, release = component("cassandra", journal), threading.Event()
    cassandra.silent.set()

    def migrate():
        if not release.is_set():
            raise NotReadyError("PostgreSQL did not answer")

    running = make_runner([Step("cassandra", (), cassandra), Step("schema", (), action=migrate)], events)
    starting = threading.Thread(target=running.start)
    starting.start()

    def messages():
        return {(event.component, event.message) for event in events if event.seconds and event.message}

    expected = {
        ("cassandra", "still waiting: connection refused"),
        ("schema", "still waiting: PostgreSQL did not answer"),
    }
    eventually(lambda: messages() >= expected, 10)
    cassandra.silent.clear()
    release.set()
    starting.join(10)
    running.stop()


def test_a_start_gives_up_at_once_although_another_step_hangs(journal, events):
    hanging = threading.Event()
    cassandra = component("cassandra", journal)
    cassandra.silent.set()
    steps = [Step("cassandra", (), cassandra), Step("schema", (), action=lambda: hanging.wait(60))]
    running = make_runner(steps, events, patience=0.1)
    with pytest.raises(UserError, match="cassandra did not answer"):
        running.start()
    running.stop()
    assert cassandra.stop_seconds == runner.GIVE_UP_STOP_SECONDS
    hanging.set()


def test_after_a_failed_start_everything_is_stopped_at_once(journal, events):
    both_stop = threading.Barrier(2, timeout=10)
    store, user = component("store", journal), component("user", journal)
    store.stop = user.stop = lambda _seconds: both_stop.wait()
    steps = [
        Step("store", (), store),
        Step("user", ("store",), user),
        Step("bad", ("user",), component("bad", journal, fails=True)),
    ]
    running = make_runner(steps, events)
    with pytest.raises(UserError, match="bad ended"):
        running.start()
    running.stop()
    assert not both_stop.broken


def test_a_component_relies_on_what_its_steps_depend_on_and_on_what_its_probe_asks():
    def step(name, after=(), asks=(), is_component=True):
        return Step(name, after, component(name, []) if is_component else None, asks=asks)

    steps = [
        step("postgres"),
        step("kafka"),
        step("schema", ("postgres",), is_component=False),
        step("api-server", ("schema",)),
        step("scheduler", ("schema",), asks=("api-server",)),
        step("publisher", ("schema", "kafka")),
    ]
    assert find_relied_on(steps) == {
        "postgres": [],
        "kafka": [],
        "api-server": ["postgres"],
        "scheduler": ["postgres", "api-server"],
        "publisher": ["postgres", "kafka"],
    }


def test_stopping_wakes_steps_that_wait_for_their_dependencies(journal, events):
    release = threading.Event()
    blocked = component("blocked", journal)
    running = make_runner(
        [Step("slow", (), action=lambda: release.wait(10)), Step("blocked", ("slow",), blocked)], events
    )
    starting = threading.Thread(target=running.start)
    starting.start()
    eventually(lambda: any(event.state is ComponentState.STARTING for event in events))
    running.stop()
    release.set()
    starting.join(10)
    assert not starting.is_alive()
    assert ("start", "blocked") not in journal


def test_levels_put_each_step_after_its_dependencies():
    steps = [Step("a"), Step("b", ("a",)), Step("c"), Step("d", ("b", "c"))]
    assert [[step.name for step in level] for level in group_by_depth(steps)] == [["a", "c"], ["b"], ["d"]]
    assert group_by_depth([]) == []


def test_an_operating_system_error_ends_a_start_with_one_sentence(events):
    running = make_runner([Step("schema", (), action=_fail_without_space)], events)
    with pytest.raises(UserError, match=r"schema could not start: .* No space left on device"):
        running.start()
    running.stop()


def test_a_restart_that_the_operating_system_refuses_is_retried_and_reported(journal, events):
    program = component("kafka", journal)
    running = make_runner([Step("kafka", (), program)], events)
    running.start()
    program.start = _fail_without_space
    program.die()
    eventually(lambda: running.failures and "No space left on device" in running.failures[0], 10)
    del program.start
    eventually(lambda: events[-1].state is ComponentState.READY, 10)
    running.stop()


def _fail_without_space():
    raise OSError(28, "No space left on device")
