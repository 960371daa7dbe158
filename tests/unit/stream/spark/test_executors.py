"""What Spark's status store says of executors, without the web UI."""

import threading
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from py4j.protocol import Py4JNetworkError
from pyspark.sql import SparkSession

from insights.stream.executors import ExecutorState, read_executors, watch_executors
from tests.helpers.support import eventually


def test_the_driver_is_the_executor_of_local_mode(spark: SparkSession) -> None:
    [before] = read_executors(spark)
    assert (before.executor_id, before.task_slots) == ("driver", spark.sparkContext.defaultParallelism)
    spark.range(0, 1000, 1, numPartitions=2).selectExpr("id % 7 AS k").groupBy("k").count().collect()

    def read_reported() -> list[ExecutorState]:
        """The driver, once it has reported three tasks more, and in a heartbeat its memory."""
        states = read_executors(spark)
        return [one for one in states if one.completed_tasks >= before.completed_tasks + 3 and one.peak_heap_bytes]

    [after] = eventually(read_reported, 60)
    assert after.task_seconds > before.task_seconds
    assert after.shuffle_written_bytes > before.shuffle_written_bytes
    assert after.shuffle_read_bytes > before.shuffle_read_bytes
    assert after.failed_tasks == before.failed_tasks
    assert min(after.peak_heap_bytes, after.peak_non_heap_bytes) > 1 << 20


@pytest.mark.parametrize("error", [Py4JNetworkError("Answer from Java side is empty"), ConnectionRefusedError()])
def test_without_a_jvm_nothing_is_known_of_executors(error: Exception) -> None:
    def fail() -> None:
        raise error

    spark: Any = SimpleNamespace(sparkContext=SimpleNamespace(_jsc=SimpleNamespace(sc=fail)))
    assert read_executors(spark) == []


def test_executors_are_watched_until_the_block_ends(spark: SparkSession) -> None:
    seen: list[Sequence[ExecutorState]] = []
    with watch_executors(spark, seen.append, seconds=0.01):
        eventually(lambda: len(seen) > 2, 30)
    count = len(seen)
    assert [one.executor_id for states in seen for one in states] == ["driver"] * count
    assert "executors" not in {thread.name for thread in threading.enumerate()}
