import threading
from typing import Any

import pytest

from insights.errors import UserError
from insights.local import runner
from insights.local.runner import ComponentState, Runner, Step, group_by_depth
from tests.helpers.support import eventually


class FakeComponent:
    """A component without a process that records its calls in a shared journal."""

    ready_seconds = 1.0

    def __init__(self, name, journal, fails=False):
        self.name, self.journal, self.fails = name, journal, fails
        self.pid, self.running, self.exit_code, self.abandoned = 0, False, None, False

    def start(self):
        self.pid, self.running = 1 << 22, True
        self.journal.append(("start", self.name))

    def wait_ready(self, _seconds):
        if self.fails:
            self.running, self.exit_code = False, 3
            raise UserError(f"{self.name} ended with exit code 3: out of luck")

    def abandon(self):
        self.abandoned = True

    def stop(self):
        self.running = False
        self.journal.append(("stop", self.name))

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


def make_runner(steps, events):
    return Runner(steps, events.append, pause_seconds=0.01)


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
    assert journal[-1] == ("stop", "good")
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
    running.wait(0)
    running.stop()


def test_a_component_that_keeps_dying_ends_the_run_with_an_error(journal, events, monkeypatch):
    monkeypatch.setattr(runner, "ATTEMPTS", 1)
    program = component("stream", journal)
    running = make_runner([Step("stream", (), program)], events)
    running.start()
    program.fails = True
    program.die()
    with pytest.raises(
        UserError, match="stream failed 2 times; the last error: stream ended with exit code 3: out of luck"
    ):
        running.wait(20)
    running.stop()


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


def test_a_restart_that_the_operating_system_refuses_is_retried_and_reported(journal, events, monkeypatch):
    monkeypatch.setattr(runner, "ATTEMPTS", 1)
    program = component("kafka", journal)
    running = make_runner([Step("kafka", (), program)], events)
    running.start()
    program.start = _fail_without_space
    program.die()
    with pytest.raises(
        UserError, match=r"kafka failed 2 times; the last error: kafka could not start: .* No space left"
    ):
        running.wait(20)
    running.stop()


def _fail_without_space():
    raise OSError(28, "No space left on device")
