"""Stop the children of a parent that died without stopping them. This script imports nothing from the project.

It reads lines from standard input: `+<session> <signal>` registers a session of processes, `-<session>` removes it.
When the input closes, every registered session gets its signal, and what is left after `GRACE_SECONDS` is killed.
"""

import os
import signal
import sys
import time

GRACE_SECONDS = 10.0


def list_session_members(session: int) -> list[int]:
    """Process ids of a session, including its leader and excluding zombies."""
    members = []
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            with open(f"/proc/{entry}/stat") as stat:
                fields = stat.read().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == session and fields[0] not in "ZX":
            members.append(int(entry))
    return members


def signal_session(session: int, number: int) -> None:
    """Send a signal to every process of a session."""
    for process in list_session_members(session):
        _send_signal(process, number)


def _send_signal(process: int, number: int) -> None:
    try:
        os.kill(process, number)
    except ProcessLookupError:
        return


def main() -> None:
    for stop_signal in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(stop_signal, signal.SIG_IGN)
    sessions: dict[int, int] = {}
    for line in sys.stdin:
        if line.startswith("+"):
            session, number = line[1:].split()
            sessions[int(session)] = int(number)
        else:
            sessions.pop(int(line[1:]), None)
    for session, number in sessions.items():
        if session in list_session_members(session):
            _send_signal(session, number)
    deadline = time.monotonic() + GRACE_SECONDS
    while any(list_session_members(session) for session in sessions) and time.monotonic() < deadline:
        time.sleep(0.1)
    for session in sessions:
        signal_session(session, signal.SIGKILL)


if __name__ == "__main__":
    main()
