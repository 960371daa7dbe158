"""The platform's processes on stores of their own, each of which can be told to crash in a window."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from confluent_kafka import OFFSET_END, Consumer, TopicPartition

from insights.settings import StoreSettings, to_environment
from tests.fault.checker import Anomaly, check
from tests.fault.read_stores import StoreAddresses, read_stores
from tests.fault.recording_source import RecordingSource
from tests.helpers.publisher_process import wait_until_published
from tests.helpers.staged_pages import delete_messages, run_sql
from tests.helpers.stream_process import Stream
from tests.helpers.support import REPOSITORY, free_port
from tests.helpers.warm_spark import WarmSpark

SECONDS = 120
PARTITIONS = 2
PUBLISH = ("jobs/publish_staged.py",)


class FlowUnderTest:
    """A database, topics, a keyspace and a source, and the processes that work on them."""

    def __init__(
        self, folder: Path, jars: Path, stores: StoreSettings, source: RecordingSource, address: str, spark: WarmSpark
    ) -> None:
        self.stores, self.source = stores, source
        self._stream = Stream(folder, jars, stores.postgres, stores.kafka, stores.cassandra, spark)
        self.awaited: set[str] = set()
        self.foreign: set[str] = set()
        self._environment = {
            **to_environment(stores.postgres, stores.kafka, stores.cassandra),
            "INSIGHTS_HOME": str(folder / "home"),
            "INSIGHTS_SOURCE_URL": f"{address}/api/1.4/",
            "INSIGHTS_PUBLISHER_POLL_SECONDS": "0.2",
        }

    def crash(self, command: Sequence[str], window: str, **environment: str) -> None:
        """Run a program until it reaches the window, in which it must kill itself."""
        run_program(command, self._environment | environment, window)

    def run(self, command: Sequence[str]) -> None:
        """Run a program to its end."""
        run_program(command, self._environment)

    def publish_all(self) -> None:
        """Run the publisher until its cursor has passed every staged row."""
        [(staged,)] = run_sql(self.stores.postgres, "SELECT coalesce(sum(staged), 0)::int FROM staging.batches")
        process = start_program(PUBLISH, self._environment)
        try:
            wait_until_published(self.stores.postgres, staged)
        finally:
            process.terminate()
            output, _ = process.communicate(timeout=SECONDS)
        assert process.returncode == 0, output

    def crash_stream(self, window: str) -> None:
        """Run the stream until it reaches the window, in which it must kill itself."""
        code = self._stream.crash_in(window)
        assert code == -signal.SIGKILL, f"the stream did not reach {window}:\n{self._stream.log.read_text()[-3000:]}"

    def crash_executors(self, window: str) -> None:
        """Run the stream until Spark gives it up, because each attempt of a task kills its process in the window."""
        code, message = self._stream.crash_tasks_in(window)
        assert code == 1
        assert message.startswith("error: The stream failed: ")
        assert "Python worker exited unexpectedly (crashed)" in message

    def publish_page(self, seed: str, size: int) -> None:
        """Stage a page and publish it."""
        self.run(("-m", "tests.fault.programs", "stage", seed, "1", str(size)))
        self.publish_all()

    def delete_messages(self) -> None:
        """Delete every message from the raw topic, as retention may."""
        delete_messages(self.stores.kafka, dict.fromkeys(range(PARTITIONS), OFFSET_END))

    def deliver_users(self) -> None:
        """Run the stream until it has delivered a batch and nothing is undelivered."""
        with self._stream.running() as running:
            running.wait(lambda: running.metric("last_served_timestamp_seconds") > 0 and not self._has_undelivered())

    def deliver_all(self) -> None:
        """Run the stream until it has delivered a batch and every message on the topic is delivered."""
        with self._stream.running() as running:
            running.wait(lambda: running.metric("last_served_timestamp_seconds") > 0 and self.is_delivered())

    def is_delivered(self) -> bool:
        """Whether the stream has read all of the topic and delivered what it read."""
        query = (
            "SELECT coalesce(sum(read), 0)::int, coalesce(bool_and(served_at IS NOT NULL), false)"
            " FROM analytics.batches WHERE offsets <> '{}'"
        )
        [(read, delivered)] = run_sql(self.stores.postgres, query)
        return bool(delivered) and read == count_messages(self.stores)

    def _has_undelivered(self) -> bool:
        return bool(run_sql(self.stores.postgres, "SELECT FROM analytics.batches WHERE served_at IS NULL"))

    def check(self) -> list[Anomaly]:
        """The anomalies of the flow, which must be at rest."""
        state = read_stores(make_addresses(self.stores))
        state.served, state.awaited, state.foreign = self.source.served, self.awaited, self.foreign
        return check(state)


def run_program(command: Sequence[str], environment: Mapping[str, str], window: str = "") -> str:
    """Run a program of this repository to its end, or until it kills itself in `window`. Returns its output."""
    process = start_program(command, {**environment, "CRASH_AT": window})
    try:
        output, _ = process.communicate(timeout=SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        raise AssertionError(f"{command} did not end in {SECONDS} s:\n{process.communicate()[0][-3000:]}") from None
    expected = -signal.SIGKILL if window else 0
    assert process.returncode == expected, f"{command} {window} ended with {process.returncode}:\n{output[-3000:]}"
    return output


def start_program(command: Sequence[str], environment: Mapping[str, str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, *command],
        cwd=REPOSITORY,
        env={
            **os.environ,
            "PYTHONPATH": str(REPOSITORY),
            **environment,
            "INSIGHTS_PUBLISHER_HTTP_PORT": str(free_port()),
        },
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def make_addresses(stores: StoreSettings) -> StoreAddresses:
    """The addresses of the stores for the checker, which does not use the product's settings."""
    cassandra = stores.cassandra
    login = (cassandra.username, cassandra.password.get_secret_value()) if cassandra.username else None
    return StoreAddresses(
        stores.postgres.connection("fault-checker"),
        stores.kafka.client(),
        cassandra.contact_points[0],
        cassandra.port,
        cassandra.keyspace,
        stores.kafka.raw_topic,
        stores.kafka.quarantine_topic,
        login,
    )


def count_messages(stores: StoreSettings) -> int:
    """The number of messages that the raw topic has received."""
    consumer = Consumer(stores.kafka.client() | {"group.id": "fault-tests"})
    try:
        topic = stores.kafka.raw_topic
        partitions = consumer.list_topics(topic, timeout=20).topics[topic].partitions
        return sum(
            consumer.get_watermark_offsets(TopicPartition(topic, number), timeout=20)[1] for number in partitions
        )
    finally:
        consumer.close()
