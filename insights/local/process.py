"""A server or a service as a child process in a session of its own, which is always stopped as a whole."""

import contextlib
import errno
import functools
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path

from insights.environment import read_inherited_environment
from insights.errors import NotReadyError, UserError
from insights.local import guard

LOG_BYTES = 16 * 1024 * 1024
KILL_SECONDS = 10.0
"""How long a killed process may take to disappear and free its ports: the kernel first frees its memory."""
OWNER = "INSIGHTS_OWNER"


class Component(ABC):
    """A child process with its state directory, its log and a readiness check.

    The child leads a session, so that every process that it forks is found and stopped with it. A guard process stops
    the session when this process dies; a record on disk lets the next start stop what survived the guard.
    """

    name: str
    stop_signal = signal.SIGTERM
    stop_seconds = 15.0
    grace_seconds = 5.0
    """How long the processes that the child forked may outlive it before they are killed."""
    exits_without_stores = False
    """Whether the child exits when it is started, or running, while a component that it depends on is down."""
    directory: Path | None = None
    """The child's working directory; its state directory by default."""

    def __init__(self, state_dir: Path) -> None:
        self.home = state_dir.resolve()
        self.state = self.home / self.name
        self.log = self.home / "logs" / f"{self.name}.log"
        self._record = self.home / "run" / f"{self.name}.json"
        self.probe_error = ""
        """Why the last readiness check failed."""
        self._log_start = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._spawning = threading.Lock()
        self._abandoned = False

    @abstractmethod
    def command(self) -> list[str]:
        """The program and its arguments."""

    @abstractmethod
    def ready(self) -> bool:
        """Whether the component answers a real request. May raise any exception while it does not."""

    def find_fault(self) -> str:
        """Why the child has to be restarted although it has been ready and still runs; empty if it need not be."""
        return ""

    def environment(self) -> dict[str, str]:
        """Variables that are added to the inherited environment."""
        return {}

    def prepare(self) -> None:  # noqa: B027 (most services need nothing)
        """Create what the child needs: directories, configuration, formatted storage."""

    def ports(self) -> dict[str, int]:
        """The loopback ports that the component listens on, by the name of the variable that sets each."""
        return {}

    @property
    def pid(self) -> int:
        """The id of the child and of its session; 0 before the start."""
        return self._process.pid if self._process else 0

    @property
    def exit_code(self) -> int | None:
        """The exit code of a child that has ended; None while it runs and before the start."""
        return self._process.poll() if self._process else None

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start the child without waiting for it. A child that an earlier start left is stopped first.

        Raises:
            UserError: a port is taken, or the preparation failed.
        """
        self.stop_leftover()
        for directory in (self.state, self.log.parent, self._record.parent):
            directory.mkdir(parents=True, exist_ok=True)
        self.require_free_ports()
        self.prepare()
        if self.log.exists() and self.log.stat().st_size > LOG_BYTES:
            self.log.replace(self.log.with_suffix(".log.1"))
        command, environment = self.command(), self.environment()
        with self._spawning, self.log.open("ab") as output:
            if self._abandoned:
                raise NotReadyError(f"{self.name} was not started, because the platform is stopping.")
            self._log_start = output.tell()
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=read_inherited_environment() | environment | {OWNER: self._owner},
                cwd=self.directory or self.state,
                start_new_session=True,
            )
            pid = self._process.pid
            get_guard().watch(pid, self.stop_signal)
            self._record.write_text(json.dumps({"pid": pid, "started": read_process_start(pid)}))

    def require_free_ports(self) -> None:
        """Check that the component's ports are free.

        Raises:
            UserError: another program listens on one; the message names it.
        """
        for variable, port in self.ports().items():
            require_free_port(self.name, port, variable)

    def wait_ready(self, seconds: float) -> None:
        """Return when the component is ready.

        Raises:
            NotReadyError: it was not ready within `seconds`; the message ends with its last log lines.
            UserError: it ended; the message ends with its last log lines.
        """
        deadline = time.monotonic() + seconds
        while True:
            if self.exit_code is not None:
                raise UserError(f"{self.name} ended with exit code {self.exit_code}: {self.read_log_tail()}")
            if self._probe():
                return
            if self._abandoned or time.monotonic() > deadline:
                raise NotReadyError(f"{self.name} did not answer within {seconds:.0f} s: {self.read_log_tail()}")
            time.sleep(0.1)

    def _probe(self) -> bool:
        try:
            ready = self.ready()
        except Exception as error:
            self.probe_error = next(iter(str(error).strip().splitlines()), type(error).__name__)
            return False
        self.probe_error = "" if ready else "it is not ready yet"
        return ready

    def abandon(self) -> None:
        """Make a thread that waits for readiness give up, and let no child be started any more."""
        self._abandoned = True

    def stop(self, seconds: float | None = None) -> None:
        """Stop the child and the processes that it forked: by its stop signal, by SIGKILL after `seconds`.

        `stop_seconds` is the default.
        """
        with self._spawning:
            process = self._process
        if process is None:
            return
        if process.poll() is None:
            process.send_signal(self.stop_signal)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(self.stop_seconds if seconds is None else min(seconds, self.stop_seconds))
        end_session(process.pid, self.grace_seconds)
        process.wait()
        get_guard().forget(process.pid)
        self._record.unlink(missing_ok=True)

    def stop_leftover(self) -> None:
        """Stop the processes that an earlier start left, after checking that they belong to this component."""
        try:
            record = json.loads(self._record.read_text())
            session, started = int(record["pid"]), record["started"]
        except (OSError, ValueError, KeyError, TypeError):
            return
        if read_process_start(session) == started:
            with contextlib.suppress(ProcessLookupError):
                os.kill(session, self.stop_signal)
            _wait_for(lambda: read_process_start(session) != started, self.stop_seconds)
            end_session(session, self.grace_seconds)
        else:
            own = [
                member for member in guard.list_session_members(session) if read_process_owner(member) == self._owner
            ]
            for member in own:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(member, signal.SIGKILL)
            _wait_for(lambda: not set(own) & set(guard.list_session_members(session)), KILL_SECONDS)
        self._record.unlink(missing_ok=True)

    def read_log_tail(self, lines: int = 3) -> str:
        """The last lines that the child of the last start logged, and the path of the log."""
        try:
            with self.log.open("rb") as content:
                content.seek(max(self._log_start, self.log.stat().st_size - 8192))
                text = content.read().decode(errors="replace")
        except OSError:
            text = ""
        tail = " | ".join([line.strip() for line in text.splitlines() if line.strip()][-lines:])
        return f"{tail or 'it logged nothing'} (log: {self.log})"

    @property
    def _owner(self) -> str:
        return f"{self.home}:{self.name}"


class Guard:
    """The process that stops this process's children when it dies without stopping them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", guard.__file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            cwd="/",
        )

    def watch(self, session: int, number: int) -> None:
        self._send(f"+{session} {int(number)}\n")

    def forget(self, session: int) -> None:
        self._send(f"-{session}\n")

    def _send(self, line: str) -> None:
        assert self._process.stdin is not None
        with self._lock, contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(line.encode())
            self._process.stdin.flush()


_guard_lock = threading.Lock()


def get_guard() -> Guard:
    """This process's only guard, started on first use."""
    with _guard_lock:
        return _start_guard()


@functools.cache
def _start_guard() -> Guard:
    return Guard()


def run_program(command: list[str], environment: dict[str, str], directory: Path) -> tuple[int, str]:
    """Run a program to its end. Returns its exit code and what it printed. It ends with this process, if that dies."""
    program = subprocess.Popen(
        command,
        env=environment,
        cwd=directory,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    get_guard().watch(program.pid, signal.SIGKILL)
    try:
        output, _ = program.communicate()
    finally:
        get_guard().forget(program.pid)
    return program.returncode, output


def end_session(session: int, seconds: float) -> None:
    """Terminate a session's processes, and kill those that are left after `seconds`."""
    guard.signal_session(session, signal.SIGTERM)
    _wait_for(lambda: not guard.list_session_members(session), seconds)
    guard.signal_session(session, signal.SIGKILL)
    _wait_for(lambda: not guard.list_session_members(session), KILL_SECONDS)


def _wait_for(condition: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)


def read_process_start(pid: int) -> str | None:
    """The boot's id and the process's start time in clock ticks, which identify a process whose id may be reused.

    None if there is no such process, or only a zombie.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return None
    return None if fields[0] in "ZX" else f"{boot}/{fields[19]}"


def list_children(pid: int, name: str) -> list[int]:
    """The ids of the processes that a process has started itself, and whose command line has this name in it.

    Those that have ended and were not waited for have no command line any more.
    """
    import psutil

    found = []
    with contextlib.suppress(psutil.Error):
        for child in psutil.Process(pid).children():
            with contextlib.suppress(psutil.Error):
                if name in " ".join(child.cmdline()):
                    found.append(child.pid)
    return found


def read_process_owner(pid: int) -> str | None:
    """The component that a process belongs to, from its environment; None if it belongs to none."""
    try:
        variables = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return None
    prefix = f"{OWNER}=".encode()
    return next((v.removeprefix(prefix).decode() for v in variables if v.startswith(prefix)), None)


def require_free_port(name: str, port: int, variable: str) -> None:
    """Check that `port` of loopback is free; `variable` is the setting of the port.

    Raises:
        UserError: it cannot be bound; the message names the program that listens on it.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise UserError(
                f"Port {port} of {name} is taken by {_describe_listener(port)}:"
                f" stop that program, or set {variable} to a free port."
                if error.errno == errno.EADDRINUSE
                else f"Port {port} of {name} cannot be used ({error.strerror}): set {variable} to another port."
            ) from None


def _describe_listener(port: int) -> str:
    import psutil

    with contextlib.suppress(psutil.Error, OSError):
        for connection in psutil.net_connections("tcp"):
            if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port and connection.pid:
                return f"{psutil.Process(connection.pid).name()} (process {connection.pid})"
    return "another program"
