import threading
from typing import Any

import pytest

from insights.errors import UserError
from insights.local import runner
from insights.local.runner import ComponentState, Runner, Step, group_by_depth
from tests.helpers.support import eventually


class FakeComponent:
    """A component without a process; `journal` is shared and tells what was called."""

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

    def last_words(self):
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


def run(steps, events):
    return Runner(steps, events.append, pause_seconds=0.01)


def test_a_step_starts_after_what_it_needs_and_stops_before_it(journal, events):
    store, user = component("store", journal), component("user", journal)
    steps = [
        Step("store", (), store),
        Step("schema", ("store",), action=lambda: journal.append(("migrate", "schema"))),
        Step("user", ("schema",), user),
    ]
    running = run(steps, events)
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


def test_steps_without_a_need_run_at_the_same_time(events):
    barrier = threading.Barrier(2, timeout=10)
    running = run([Step("one", (), action=barrier.wait), Step("two", (), action=barrier.wait)], events)
    running.start()
    running.stop()
    assert not barrier.broken


def test_a_failed_step_is_named_and_what_needs_it_never_starts(journal, events):
    good, bad = component("good", journal), component("bad", journal, fails=True)
    late = component("late", journal)
    running = run([Step("good", (), good), Step("bad", ("good",), bad), Step("late", ("bad",), late)], events)
    with pytest.raises(UserError, match="bad ended with exit code 3: out of luck"):
        running.start()
    running.stop()
    assert ("start", "late") not in journal
    assert journal[-1] == ("stop", "good")
    assert [event.component for event in events if event.state is ComponentState.FAILED] == ["bad"]
    assert good.abandoned


def test_a_component_that_dies_is_reported_and_restarted(journal, events):
    program = component("publisher", journal)
    running = run([Step("publisher", (), program)], events)
    running.start()
    program.die()
    eventually(lambda: journal.count(("start", "publisher")) == 2, 10)
    eventually(lambda: events[-1].state is ComponentState.READY, 10)
    died = next(event for event in events if event.state is ComponentState.DIED)
    assert died.message == "exit code 3: out of luck"
    running.wait(0)
    running.stop()


def test_a_component_that_dies_again_and_again_ends_the_run_with_a_sentence(journal, events, monkeypatch):
    monkeypatch.setattr(runner, "ATTEMPTS", 1)
    program = component("stream", journal)
    running = run([Step("stream", (), program)], events)
    running.start()
    program.fails = True
    program.die()
    with pytest.raises(
        UserError, match="stream ended 2 times; the last time: stream ended with exit code 3: out of luck"
    ):
        running.wait(20)
    running.stop()


def test_stopping_wakes_what_still_waits_for_its_needs(journal, events):
    release = threading.Event()
    late = component("late", journal)
    running = run([Step("slow", (), action=lambda: release.wait(10)), Step("late", ("slow",), late)], events)
    starting = threading.Thread(target=running.start)
    starting.start()
    eventually(lambda: any(event.state is ComponentState.STARTING for event in events))
    running.stop()
    release.set()
    starting.join(10)
    assert not starting.is_alive()
    assert ("start", "late") not in journal


def test_levels_put_each_step_behind_its_needs():
    steps = [Step("a"), Step("b", ("a",)), Step("c"), Step("d", ("b", "c"))]
    assert [[step.name for step in level] for level in group_by_depth(steps)] == [["a", "c"], ["b"], ["d"]]
    assert group_by_depth([]) == []


def test_what_the_system_refuses_ends_a_start_with_a_sentence(events):
    running = run([Step("schema", (), action=_no_space)], events)
    with pytest.raises(UserError, match=r"schema could not start: .* No space left on device"):
        running.start()
    running.stop()


def test_a_restart_that_the_system_refuses_is_tried_again_and_told(journal, events, monkeypatch):
    monkeypatch.setattr(runner, "ATTEMPTS", 1)
    program = component("kafka", journal)
    running = run([Step("kafka", (), program)], events)
    running.start()
    program.start = _no_space
    program.die()
    with pytest.raises(UserError, match=r"kafka ended 2 times; the last time: kafka could not start: .* No space left"):
        running.wait(20)
    running.stop()


def _no_space():
    raise OSError(28, "No space left on device")
