"""The streaming job as a real process, and the contents of both stores."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen
from uuid import UUID

import psutil
from psycopg2.extensions import connection as PgConnection

from insights.clients import connections
from insights.local.jars import list_group_files
from insights.model.schema import CASSANDRA_TABLES, PACKED_COLUMNS, USER_FIELDS
from insights.settings import CassandraSettings, KafkaSettings, PostgresSettings, to_environment
from insights.sinks.user_tables import USER_TABLES
from tests.helpers.support import REPOSITORY, SHORT_LIVED, eventually, free_port
from tests.helpers.warm_spark import WarmSpark

START_SECONDS = 300
CRASHED = 137
_TWO_ATTEMPTS = "local[2,2]"
_CRASH = """
import os
import insights.{module} as module
def crash(*_, **__):
    os._exit({code})
module.{function}  # Fails if there is no such function.
module.{function} = crash
"""
# The warm-up is a third of a start, and no test here gains from it: the end-to-end tests have all of it.
_RUN = """
import runpy
from insights.stream import transformation
transformation._WARM_UP_BATCHES = transformation._WARM_UP_MESSAGES = 1
runpy.run_path("jobs/stream_users.py", run_name="__main__")
"""


def set_task_window(window: str) -> str:
    """Statements, for the beginning of a run, that give the Python processes of the executors a failpoint."""
    return f"""
from insights.stream import query
query.PYTHON_CONF["spark.executorEnv.CRASH_AT"] = {window!r}
"""


class Stream:
    """Runs of `jobs/stream_users.py` on the same stores and checkpoint, in the JVM `spark` or each in a new one."""

    def __init__(
        self,
        folder: Path,
        jars: Path,
        postgres: PostgresSettings,
        kafka: KafkaSettings,
        cassandra: CassandraSettings,
        spark: WarmSpark | None = None,
        **environment: str,
    ) -> None:
        self._spark = spark
        self.checkpoint = folder / "checkpoint"
        self.log = folder / "stream.log"
        self._environment = os.environ | {
            "PYTHONPATH": str(REPOSITORY),
            **to_environment(postgres, kafka, cassandra),
            "INSIGHTS_STREAM_CHECKPOINT": str(self.checkpoint),
            "INSIGHTS_STREAM_MASTER": "local[2,4]",  # Two tasks at a time, each attempted four times.
            "INSIGHTS_STREAM_JARS": ",".join(str(path) for path in list_group_files("spark", jars)),
            **(spark.environment if spark else {"JAVA_TOOL_OPTIONS": SHORT_LIVED}),
            **environment,
        }

    def crash_at(self, module: str, function: str) -> int:
        """Run until a call of `insights.<module>.<function>`, which kills the process, and return the exit code."""
        script = _CRASH.format(module=module, function=function, code=CRASHED)
        with self._start_process(script, free_port()) as process:
            return process.wait(START_SECONDS)

    def crash_in(self, window: str) -> int:
        """Run until the failpoint `window`, in which the process kills itself, and return the exit code."""
        with self._start_process("", free_port(), CRASH_AT=window) as process:
            code = process.wait(START_SECONDS)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        return code

    def crash_tasks_in(self, window: str) -> tuple[int, str]:
        """Run until the stream gives up, and return its exit code and its last line of output.

        The Python processes of the executors kill themselves in the failpoint `window`.
        """
        self.log.unlink(missing_ok=True)
        with self._start_process(set_task_window(window), free_port(), INSIGHTS_STREAM_MASTER=_TWO_ATTEMPTS) as process:
            code = process.wait(START_SECONDS)
        return code, self.log.read_text().strip().splitlines()[-1]

    def run_until_failure(
        self, provoke: Callable[["Running"], None] = lambda _: None, **environment: str
    ) -> tuple[int, str]:
        """Run until the process exits, and return its exit code and its last line of output.

        `provoke` is called with the started run.
        """
        self.log.unlink(missing_ok=True)
        port = free_port()
        with self._start_process("", port, **environment) as process:
            provoke(Running(process, port))
            code = process.wait(START_SECONDS)
        return code, self.log.read_text().strip().splitlines()[-1]

    @contextmanager
    def running(self, prelude: str = "") -> Iterator["Running"]:
        """Start a run, after the statements of `prelude`, and stop it by SIGTERM at the end of the `with` block."""
        port = free_port()
        with self._start_process(prelude, port) as process:
            yield Running(process, port)
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 0, self.log.read_text()[-3000:]

    @contextmanager
    def _start_process(self, prelude: str, port: int, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
        settings = self._environment | {"INSIGHTS_STREAM_HTTP_PORT": str(port)} | environment
        if self._spark is not None:
            self._spark.stop_context()
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-c", f"{prelude}\n{_RUN}"],
                cwd=REPOSITORY,
                env=settings,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            yield process
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


class Running:
    """A running stream."""

    def __init__(self, process: subprocess.Popen[bytes], port: int) -> None:
        self._process, self._port = process, port

    def get(self, path: str, accept: str = "*/*") -> str:
        request = Request(f"http://127.0.0.1:{self._port}{path}", headers={"Accept": accept})
        with urlopen(request, timeout=5) as answer:
            return str(answer.read().decode())

    def list_processes(self) -> list[psutil.Process]:
        """The running processes that the stream has started, and those that they have started."""
        children: list[psutil.Process] = psutil.Process(self._process.pid).children(recursive=True)
        return [child for child in children if child.status() != psutil.STATUS_ZOMBIE]

    def metric(self, name: str) -> float:
        lines = [line for line in self.get("/metrics").splitlines() if line.startswith(f"insights_stream_{name} ")]
        return float(lines[0].split()[-1])

    def wait(self, condition: Any, seconds: float = START_SECONDS) -> None:
        """Wait until the condition holds; fail immediately if the process exits."""

        def holds() -> bool:
            assert_alive(self._process)
            try:
                return bool(condition())
            except OSError:
                return False

        eventually(holds, seconds)


def assert_alive(process: subprocess.Popen[bytes]) -> None:
    """Raise `RuntimeError` if the process has exited."""
    if process.poll() is not None:
        raise RuntimeError(f"the stream exited with code {process.returncode}")


def read_postgres_users(connection: PgConnection) -> dict[UUID, dict[str, Any]]:
    """Return the users in PostgreSQL, by id."""
    with connection, connection.cursor() as cursor:
        cursor.execute(f"SELECT {', '.join(USER_FIELDS)} FROM analytics.users")
        rows = [dict(zip(USER_FIELDS, row, strict=True)) for row in cursor.fetchall()]
    return {UUID(str(row["user_id"])): row | {"user_id": UUID(str(row["user_id"]))} for row in rows}


def read_postgres_counts(connection: PgConnection) -> dict[tuple[str, str], int]:
    """Return the counts in PostgreSQL that are not zero, by dimension and value."""
    with connection, connection.cursor() as cursor:
        cursor.execute("SELECT dimension, value, count FROM analytics.user_counts WHERE count > 0")
        return {(dimension, value): count for dimension, value, count in cursor.fetchall()}


def assert_cassandra_equals(
    settings: CassandraSettings, users: dict[UUID, dict[str, Any]], counts: dict[Any, int]
) -> None:
    """Assert that every user table of Cassandra has exactly these users, and that the counts are equal."""
    with connections.open_cassandra(settings) as session:
        for name in USER_TABLES:
            columns = CASSANDRA_TABLES[name][1]
            rows = [row._asdict() for row in session.execute(f"SELECT {', '.join(columns)} FROM {name}")]
            for packed in [column for column in columns if column in PACKED_COLUMNS]:
                rows = [row | row.pop(packed)._asdict() for row in rows]
                columns = (*(column for column in columns if column != packed), *PACKED_COLUMNS[packed])
            expected = [
                {column: value for column, value in (row | _make_buckets(row["user_id"])).items() if column in columns}
                for row in users.values()
            ]
            actual = [{column: _to_utc(value) for column, value in row.items()} for row in rows]
            key = lambda row: row["user_id"]  # noqa: E731
            assert sorted(actual, key=key) == sorted(expected, key=key), name
        counted = session.execute("SELECT dimension, value, count FROM user_counts")
        assert {(row.dimension, row.value): row.count for row in counted if row.count} == counts


def _make_buckets(user_id: UUID) -> dict[str, int]:
    return {"bucket": user_id.int >> 124, "id_bucket": user_id.int >> 118}


def _to_utc(value: Any) -> Any:
    return value.replace(tzinfo=UTC) if hasattr(value, "tzinfo") else value
