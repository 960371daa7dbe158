import json
import os
import signal
import socket
import sys
import textwrap

import pytest

from insights.errors import UserError
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
    """A child that runs `code`; ready when its log has a line."""

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


def test_a_child_that_ends_is_reported_with_its_code_and_last_words(tmp_path):
    program = Silent(tmp_path, "import sys; sys.exit('no such table')")
    program.start()
    with pytest.raises(UserError, match=r"program ended with exit code 1: no such table \(log: .*program\.log\)"):
        program.wait_ready(20)


def test_a_child_that_never_answers_is_reported_after_the_time(tmp_path):
    program = Program(tmp_path, "import time; time.sleep(600)")
    program.start()
    with pytest.raises(UserError, match="program did not answer in 0 s: it said nothing"):
        program.wait_ready(0.3)
    program.stop()


def test_a_taken_port_is_refused_with_who_has_it_and_the_variable(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        program = Program(tmp_path, "", port)
        sentence = f"Port {port} of program is taken by .*process {os.getpid()}.*INSIGHTS_PROGRAM_PORT to a free port"
        with pytest.raises(UserError, match=sentence):
            program.start()
    assert program.pid == 0


def test_a_free_port_is_no_hindrance(tmp_path):
    program = Program(tmp_path, "import time; print('up', flush=True); time.sleep(600)", free_port())
    program.start()
    program.wait_ready(20)
    assert program.running
    program.stop()


def test_the_next_start_ends_what_the_last_one_left_behind(tmp_path):
    lost = Program(tmp_path, FORKS)
    lost.start()
    lost.wait_ready(20)
    program = Program(tmp_path, "print('fresh')")
    program.start()
    assert list_session_members(lost.pid) == []
    program.stop()
    lost.stop()


def test_a_process_that_took_over_a_recorded_number_is_left_alone(tmp_path):
    foreign = Program(tmp_path / "foreign", FORKS)
    foreign.start()
    foreign.wait_ready(20)
    program = Program(tmp_path / "ours", "")
    (tmp_path / "ours" / "run").mkdir(parents=True)
    record = tmp_path / "ours" / "run" / "program.json"
    record.write_text(json.dumps({"pid": foreign.pid, "started": "another boot/1"}))
    program.end_left_behind()
    assert len(list_session_members(foreign.pid)) == 2
    assert not record.exists()
    foreign.stop()


def test_a_killed_leaders_children_are_found_by_their_mark(tmp_path):
    lost = Program(tmp_path, FORKS)
    lost.start()
    lost.wait_ready(20)
    session = lost.pid
    os.kill(session, signal.SIGKILL)
    eventually(lambda: read_process_start(session) is None)
    assert len(list_session_members(session)) == 1
    Program(tmp_path, "").end_left_behind()
    assert list_session_members(session) == []
    lost.stop()


def test_a_log_that_grew_large_is_set_aside(tmp_path, monkeypatch):
    monkeypatch.setattr("insights.local.process.LOG_BYTES", 3)
    program = Program(tmp_path, "print('second')")
    program.log.parent.mkdir(parents=True)
    program.log.write_text("first")
    program.start()
    eventually(lambda: program.exit_code is not None)
    assert program.log.read_text() == "second\n"
    assert program.log.with_suffix(".log.1").read_text() == "first"
    program.stop()
