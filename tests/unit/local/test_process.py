import json
import os
import signal
import socket
import sys
import textwrap

import pytest

from insights.errors import NotReadyError, UserError
from insights.local.guard import list_session_members
from insights.local.process import Component, read_process_start
from tests.helpers.support import eventually, free_port

FORKS = """
    import os, signal, sys, time
    if os.fork() == 0:
        os.setpgid(0, 0)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        time.sleep(600)
    print("both run", flush=True)
    time.sleep(600)
"""


class Program(Component):
    """A child that runs Python code; it is ready once it has logged something."""

    name = "program"
    stop_seconds = 5.0
    grace_seconds = 0.3

    def __init__(self, state_dir, code, port=0):
        super().__init__(state_dir)
        self.code, self.port = textwrap.dedent(code), port

    def command(self):
        return [sys.executable, "-I", "-S", "-c", self.code]

    def ready(self):
        return bool(self.log.read_text())

    def ports(self):
        return {"INSIGHTS_PROGRAM_PORT": self.port} if self.port else {}


class Silent(Program):
    """A child that is never ready."""

    def ready(self):
        return False


def test_stopping_ends_a_grandchild_that_left_the_group_and_ignores_the_signal(tmp_path):
    program = Program(tmp_path, FORKS)
    program.start()
    program.wait_ready(20)
    assert len(list_session_members(program.pid)) == 2
    program.stop()
    assert list_session_members(program.pid) == []
    assert not list((tmp_path / "run").iterdir())


def test_a_child_that_ends_is_reported_with_its_exit_code_and_log(tmp_path):
    program = Silent(tmp_path, "import sys; sys.exit('no such table')")
    program.start()
    with pytest.raises(UserError, match=r"program ended with exit code 1: no such table \(log: .*program\.log\)"):
        program.wait_ready(20)


def test_a_child_that_does_not_answer_in_time_is_reported(tmp_path):
    program = Program(tmp_path, "import time; time.sleep(600)")
    program.start()
    with pytest.raises(UserError, match="program did not answer within 0 s: it logged nothing"):
        program.wait_ready(0.3)
    program.stop()


def test_a_taken_port_is_reported_with_its_program_and_the_variable(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        program = Program(tmp_path, "", port)
        sentence = f"Port {port} of program is taken by .*process {os.getpid()}.*INSIGHTS_PROGRAM_PORT to a free port"
        with pytest.raises(UserError, match=sentence):
            program.start()
    assert program.pid == 0


def test_a_component_starts_on_a_free_port(tmp_path):
    program = Program(tmp_path, "import time; print('up', flush=True); time.sleep(600)", free_port())
    program.start()
    program.wait_ready(20)
    assert program.running
    program.stop()


def test_the_next_start_stops_what_the_last_one_left(tmp_path):
    orphan = Program(tmp_path, FORKS)
    orphan.start()
    orphan.wait_ready(20)
    program = Program(tmp_path, "print('fresh')")
    program.start()
    assert list_session_members(orphan.pid) == []
    program.stop()
    orphan.stop()


def test_a_process_that_reuses_a_recorded_id_is_left_alone(tmp_path):
    foreign = Program(tmp_path / "foreign", FORKS)
    foreign.start()
    foreign.wait_ready(20)
    program = Program(tmp_path / "ours", "")
    (tmp_path / "ours" / "run").mkdir(parents=True)
    record = tmp_path / "ours" / "run" / "program.json"
    record.write_text(json.dumps({"pid": foreign.pid, "started": "another boot/1"}))
    program.stop_leftover()
    assert len(list_session_members(foreign.pid)) == 2
    assert not record.exists()
    foreign.stop()


def test_the_children_of_a_killed_leader_are_found_by_their_owner(tmp_path):
    orphan = Program(tmp_path, FORKS)
    orphan.start()
    orphan.wait_ready(20)
    session = orphan.pid
    os.kill(session, signal.SIGKILL)
    eventually(lambda: read_process_start(session) is None)
    assert len(list_session_members(session)) == 1
    Program(tmp_path, "").stop_leftover()
    assert list_session_members(session) == []
    orphan.stop()


def test_a_failure_quotes_the_log_of_its_own_start_only(tmp_path):
    program = Silent(tmp_path, "import sys; sys.exit('the cause of yesterday')")
    program.start()
    with pytest.raises(UserError, match="the cause of yesterday"):
        program.wait_ready(20)
    program.stop()
    program.code = "raise SystemExit(2)"
    program.start()
    with pytest.raises(UserError, match="program ended with exit code 2: it logged nothing"):
        program.wait_ready(20)
    program.stop()


def test_a_component_that_was_abandoned_is_not_started_any_more(tmp_path):
    program = Program(tmp_path, "import time; time.sleep(600)")
    program.abandon()
    with pytest.raises(NotReadyError, match="program was not started, because the platform is stopping"):
        program.start()
    assert program.pid == 0


def test_a_probe_that_fails_says_why(tmp_path):
    program = Program(tmp_path, "import time; time.sleep(600)")
    program.start()
    program.log.unlink()
    with pytest.raises(NotReadyError):
        program.wait_ready(0)
    assert "No such file or directory" in program.probe_error
    program.stop()


def test_a_child_that_ignores_its_signal_is_killed_after_the_given_seconds(tmp_path):
    ignores = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True)"
    program = Program(tmp_path, f"{ignores}; time.sleep(600)")
    program.stop_seconds = 600.0
    program.start()
    program.wait_ready(20)
    program.stop(0.1)
    assert program.exit_code == -signal.SIGKILL


def test_a_large_log_is_rotated(tmp_path, monkeypatch):
    monkeypatch.setattr("insights.local.process.LOG_BYTES", 3)
    program = Program(tmp_path, "print('second')")
    program.log.parent.mkdir(parents=True)
    program.log.write_text("first")
    program.start()
    eventually(lambda: program.exit_code is not None)
    assert program.log.read_text() == "second\n"
    assert program.log.with_suffix(".log.1").read_text() == "first"
    program.stop()
