"""The state directory of a platform: its lock, its free space, and stopping or deleting it from another terminal."""

import contextlib
import fcntl
import json
import os
import shutil
import signal
import time
from pathlib import Path
from typing import Any, TextIO

from insights.errors import UserError

FREE_BYTES = 3 * 1024**3
MARKER = "platform.lock"
DESCRIPTION = "platform.json"


class HomeLock:
    """Held while a platform runs from a directory; the kernel releases it when the process ends."""

    def __init__(self, home: Path) -> None:
        self._path = home / MARKER
        self._file: TextIO | None = None

    def acquire(self) -> None:
        """Take the lock, or fail at once.

        Raises:
            UserError: another platform runs from this directory, or it holds other files.
        """
        home = self._path.parent
        try:
            file = self._open(home)
        except OSError as error:
            raise UserError(
                f"{home} cannot hold a platform ({error.strerror}): set INSIGHTS_HOME to a directory of your own."
            ) from None
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.close()
            raise UserError(
                f"A platform already runs from {home} (process {self._path.read_text()}): "
                "stop it with `insights down`, or set INSIGHTS_HOME to another directory."
            ) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        self._file = file

    @property
    def held(self) -> bool:
        return self._file is not None

    def release(self) -> None:
        if self._file:
            self._file.close()
            self._file = None

    def _open(self, home: Path) -> TextIO:
        """Open the lock file, and restrict the directory to its owner: logs and data files require no login."""
        home.mkdir(parents=True, exist_ok=True)
        if not self._path.exists() and any(home.iterdir()):
            raise UserError(f"{home} holds other files: set INSIGHTS_HOME to an empty or a new directory.")
        home.chmod(0o700)
        return self._path.open("a+")


def find_running_process(home: Path) -> int | None:
    """The id of the process that runs a platform from `home`: None if there is none, 0 before it has written its id."""
    try:
        with (home / MARKER).open() as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return None
    except FileNotFoundError:
        return None
    except BlockingIOError:
        return int((home / MARKER).read_text() or 0)


def stop_running(home: Path, seconds: float) -> bool:
    """Stop the platform that runs from `home`. Returns whether there was one.

    Raises:
        UserError: it did not end within `seconds`.
    """
    deadline, signalled = time.monotonic() + seconds, 0
    while (process := find_running_process(home)) is not None:
        if process and process != signalled:
            # The process may have ended in the meantime: the next iteration then finds the lock free.
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGTERM)
            signalled = process
        if time.monotonic() > deadline:
            raise UserError(
                f"The platform of process {process} did not stop within {seconds:.0f} s: run `kill -9 {process}`."
            )
        time.sleep(0.2)
    return bool(signalled)


def read_description(home: Path) -> dict[str, Any]:
    """What the last start wrote: `environment`, a map of variables, and `addresses`, a list of `Address` as maps.

    Raises:
        UserError: no platform was started from `home`.
    """
    try:
        content: dict[str, Any] = json.loads((home / DESCRIPTION).read_text())
    except (OSError, ValueError):
        raise UserError(
            f"No platform was started from {home}: run `insights up` first, or set INSIGHTS_HOME."
        ) from None
    return content


def delete_home(home: Path) -> None:
    """Delete everything that a platform left in `home`.

    Raises:
        UserError: a platform runs from it, or it is not a platform's directory.
    """
    if not home.exists():
        return
    if not (home / MARKER).exists():
        raise UserError(f"{home} holds no platform: set INSIGHTS_HOME to the directory that does.")
    lock = HomeLock(home)
    lock.acquire()
    try:
        for entry in home.iterdir():
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            elif entry.name != MARKER:
                entry.unlink()
        shutil.rmtree(home)
    except OSError as error:
        raise UserError(f"{home} could not be deleted completely ({error}): run `insights reset` again.") from None
    finally:
        lock.release()


def require_free_space(home: Path, needed: int = FREE_BYTES) -> None:
    """Check that the disk of `home` has room for a platform.

    Raises:
        UserError: it has fewer than `needed` bytes free.
    """
    existing = next(path for path in (home, *home.parents) if path.exists())
    free = shutil.disk_usage(existing).free
    if free < needed:
        raise UserError(
            f"Only {free / 1e9:.1f} GB is free on the disk of {home}, and {needed / 1e9:.1f} GB is needed: "
            "free some space, or set INSIGHTS_HOME to another disk."
        )
