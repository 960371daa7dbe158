"""The sentence with which a failed query ends the process."""

from types import SimpleNamespace
from typing import Any

import pytest
from py4j.protocol import Py4JJavaError

from insights.errors import UserError
from insights.settings import KafkaSettings, StreamSettings
from insights.stream import query


class JavaError(Py4JJavaError):  # type: ignore[misc]
    """A Java exception as py4j raises it; its own text names a call of the gateway, not the cause."""

    def __init__(self, *causes: str) -> None:
        exception: Any = None
        for text in reversed(causes):
            exception = make_exception(text, exception)
        self.java_exception = exception

    def __str__(self) -> str:
        return "An error occurred while calling o4743.getResult.\n: java.lang.Exception"


def make_exception(text: str, cause: Any) -> SimpleNamespace:
    message = text.partition(": ")[2] or None
    return SimpleNamespace(getCause=lambda: cause, toString=lambda: text, getMessage=lambda: message)


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (
            JavaError("SparkException: Job aborted", "TimeoutException: no broker\n\tat x"),
            "TimeoutException: no broker",
        ),
        (JavaError("IllegalStateException: gone"), "IllegalStateException: gone"),
        (JavaError("SparkException: Python worker exited", "EOFException"), "SparkException: Python worker exited"),
        (
            JavaError(
                "SparkException: aborted", "PythonException: Traceback (most recent call last):\n  x\nValueError: y\n"
            ),
            "ValueError: y",
        ),
        (ValueError("out of range\nmore"), "out of range"),
        (ValueError(), "ValueError"),
    ],
)
def test_a_failed_query_ends_with_the_innermost_cause(error: Exception, sentence: str) -> None:
    assert str(query._explain_error(error, StreamSettings())) == f"The stream failed: {sentence}"


@pytest.mark.parametrize(("bytes_of_a_message", "records"), [(1000, 500), (1_048_588, 63), (100_000_000, 1)])
def test_the_messages_that_a_task_has_in_memory_are_bounded_by_their_size(
    bytes_of_a_message: int, records: int
) -> None:
    options = query._list_consumer_options(KafkaSettings(), bytes_of_a_message)
    assert options["kafka.max.poll.records"] == str(records)


@pytest.mark.parametrize(
    ("checkpoint", "manager"),
    [
        ("/var/lib/insights/checkpoint", "FileSystemBasedCheckpointFileManager"),
        ("s3a://bucket/checkpoint", "AbortableStreamBasedCheckpointFileManager"),
        ("abfss://container@account/checkpoint", None),
    ],
)
def test_the_files_of_a_checkpoint_are_written_in_the_way_of_their_storage(
    checkpoint: str, manager: str | None
) -> None:
    conf = query.build_spark_conf(StreamSettings(master="", checkpoint=checkpoint))
    name = conf.get("spark.sql.streaming.checkpointFileManagerClass")
    assert (name and name.rpartition(".")[2]) == manager


def test_executors_log_at_the_level_of_the_driver() -> None:
    assert query.build_spark_conf(StreamSettings(master=""))["spark.executor.syncLogLevel.enabled"] == "true"


def test_a_failed_job_before_the_query_ends_with_the_same_sentence() -> None:
    with (
        pytest.raises(UserError, match=r"^The stream failed: TimeoutException: no broker$"),
        query.explain_failure(StreamSettings()),
    ):
        raise JavaError("SparkException: Job aborted", "TimeoutException: no broker")


def test_what_a_user_can_mend_before_the_query_keeps_its_sentence() -> None:
    with pytest.raises(UserError, match=r"^run the migrations$"), query.explain_failure(StreamSettings()):
        raise UserError("run the migrations")
