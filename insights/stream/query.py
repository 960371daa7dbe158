"""The streaming query as a process: the Spark session, the Kafka source, graceful shutdown and readable errors."""

import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from py4j.protocol import Py4JJavaError
from pyspark.errors import AnalysisException, PySparkException, PySparkRuntimeError, StreamingQueryException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.streaming import StreamingQuery

from insights.errors import UserError
from insights.settings import KafkaSettings, StreamSettings
from insights.sinks.micro_batch import MicroBatchSink
from insights.stream.start import StreamStart
from insights.stream.transform import SPARK_CONF

POLL_SECONDS = 0.5
COMMIT_SECONDS = 10
"""The longest wait for Spark to commit a delivered batch to the checkpoint."""
CHECK_SECONDS = 10
PYTHON_CONF = {
    "spark.python.daemon.module": "insights.sinks.worker_daemon",
    # Otherwise PySpark tells the JVM in five calls from which line each column comes.
    "spark.python.sql.dataFrameDebugging.enabled": "false",
}
"""Settings of the Python processes of the driver and the executors."""
CHECKPOINT_MANAGERS = {
    "": "org.apache.spark.sql.execution.streaming.checkpointing.FileSystemBasedCheckpointFileManager",
    "s3a": "org.apache.spark.internal.io.cloud.AbortableStreamBasedCheckpointFileManager",
}
"""The manager of a checkpoint's files by the scheme of its address. The default one renames finished files: it starts
processes for that where they are in a folder (34 ms a file instead of 9), and it is not atomic in S3."""
POLL_BYTES = 64 * 1024 * 1024
"""What a task's client decompresses in one poll. Before each poll Spark asks the broker for offsets twice."""
MAX_POLL_RECORDS = 500
_TRIGGER_LOGGER = "org.apache.spark.sql.execution.streaming.runtime.ProcessingTimeExecutor"
_OFFSET_LOGS = ("HDFSMetadataLog", "OffsetSeqLog", "CommitLog", "StreamMetadata", "OffsetSeq", "checkpoint file")


def make_spark_session(settings: StreamSettings) -> SparkSession:
    """Create a Spark session, in the JVM of `spark-submit` if it started this process, else in a new JVM.

    Raises:
        UserError: Java or a jar is missing.
    """
    builder = SparkSession.builder.appName("stream_users").config(map=build_spark_conf(settings))
    if settings.master:
        builder = builder.master(settings.master)
    try:
        spark: SparkSession = builder.getOrCreate()
    except PySparkRuntimeError as error:
        if error.getCondition() != "JAVA_GATEWAY_EXITED":
            raise
        raise UserError("Java did not start: install Java 17 or 21, or set JAVA_HOME to one.") from None
    spark.sparkContext.setLogLevel("WARN")
    # It warns of every batch that takes longer than the trigger interval, as any batch of a backlog does.
    log4j = spark._jvm.org.apache.logging.log4j
    log4j.core.config.Configurator.setLevel(_TRIGGER_LOGGER, log4j.Level.ERROR)
    # PySpark takes the python3 that is first on PATH, which may be another one.
    spark.sparkContext.pythonExec = sys.executable
    return spark


def build_spark_conf(settings: StreamSettings) -> Mapping[str, str]:
    """Return the Spark configuration: few shuffle partitions and no web UI.

    Raises:
        UserError: a jar named by the settings does not exist.
    """
    conf = (
        SPARK_CONF
        | PYTHON_CONF
        | _choose_checkpoint_manager(settings.checkpoint)
        | {
            "spark.sql.session.timeZone": "UTC",
            "spark.sql.execution.arrow.pyspark.enabled": "true",
            "spark.sql.shuffle.partitions": str(settings.shuffle_partitions),
            "spark.sql.streaming.noDataMicroBatches.enabled": "false",
            "spark.sql.streaming.numRecentProgressUpdates": "10",
            # Otherwise executors log what Kafka's consumer does: 87,000 lines per million records.
            "spark.executor.syncLogLevel.enabled": "true",
            "spark.ui.enabled": "false",
            "spark.ui.showConsoleProgress": "false",
        }
    )
    if not settings.master:
        return conf
    jars = [Path(jar).expanduser() for jar in settings.jars.split(",") if jar.strip()]
    if missing := [jar for jar in jars if not jar.is_file()]:
        raise UserError(f"The jar {missing[0]} does not exist: set INSIGHTS_STREAM_JARS to Spark's Kafka connector.")
    return conf | {
        # Spark generates the secret itself only in local mode.
        "spark.authenticate": str(settings.master.startswith("local[")).lower(),
        "spark.jars": ",".join(str(jar) for jar in jars),
        "spark.driver.memory": settings.driver_memory,
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.extraJavaOptions": "-XX:+UseSerialGC -Duser.timezone=UTC -Duser.language=en",
    }


def _choose_checkpoint_manager(checkpoint: str) -> dict[str, str]:
    manager = CHECKPOINT_MANAGERS.get(urlsplit(checkpoint).scheme)
    return {"spark.sql.streaming.checkpointFileManagerClass": manager} if manager else {}


def _list_consumer_options(kafka: KafkaSettings, largest_message: int) -> dict[str, str]:
    """The options with which both a stream and a batch read the raw topic."""
    records = min(MAX_POLL_RECORDS, max(1, POLL_BYTES // largest_message))
    return kafka.spark() | {"subscribe": kafka.raw_topic, "kafka.max.poll.records": str(records)}


def read_topic(spark: SparkSession, settings: StreamSettings, kafka: KafkaSettings, start: StreamStart) -> DataFrame:
    """Read the raw topic as a stream, from the offsets in the checkpoint or else from those of `start`.

    Raises:
        UserError: the Kafka connector is missing.
    """
    options = _list_consumer_options(kafka, start.largest_message) | {
        "startingOffsets": start.starting_offsets,
        "failOnDataLoss": "true",
        "includeHeaders": "true",
        "maxOffsetsPerTrigger": str(settings.max_offsets_per_trigger),
    }
    try:
        return spark.readStream.format("kafka").options(**options).load()
    except AnalysisException as error:
        if "kafka" not in str(error):
            raise
        raise UserError(
            "Spark's Kafka connector is missing: set INSIGHTS_STREAM_JARS to its jars (spark-sql-kafka-0-10,"
            " spark-token-provider-kafka-0-10, kafka-clients, commons-pool2)."
        ) from None


def warm_up_source(spark: SparkSession, kafka: KafkaSettings, start: StreamStart) -> None:
    """Read the first message of the raw topic, if it has any, so that Spark has loaded what reads messages."""
    options = _list_consumer_options(kafka, start.largest_message) | {"failOnDataLoss": "false"}
    spark.read.format("kafka").options(**options).load().limit(1).toArrow()


def start_query(messages: DataFrame, sink: MicroBatchSink, settings: StreamSettings) -> StreamingQuery:
    """Start the query that passes each micro-batch of messages to the sink.

    Raises:
        UserError: the checkpoint is damaged.
    """
    writer = messages.writeStream.queryName("users").foreachBatch(sink)
    writer = writer.trigger(processingTime=f"{settings.trigger_seconds} seconds")
    try:
        return writer.option("checkpointLocation", settings.checkpoint).start()
    except Exception as error:
        raise _explain_error(error, settings) from error


@contextmanager
def explain_failure(settings: StreamSettings) -> Iterator[None]:
    """Replace an error of Spark, in a job before the query starts, as those of the query are replaced.

    Raises:
        UserError: a job failed.
    """
    try:
        yield
    except (Py4JJavaError, PySparkException) as error:
        raise _explain_error(error, settings) from error


def run_query(query: StreamingQuery, sink: MicroBatchSink, settings: StreamSettings, check: Callable[[], None]) -> None:
    """Block until SIGTERM or SIGINT, then let the running batch finish and stop the query.

    `check` is called every `CHECK_SECONDS`; its error ends the query.

    Raises:
        UserError: the query failed or was stopped externally, or raised by `check`.
    """
    stopping = threading.Event()
    next_check = time.monotonic() + CHECK_SECONDS
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    try:
        while not stopping.is_set():
            if query.awaitTermination(POLL_SECONDS):
                raise UserError("The query was stopped externally: restart the stream.")
            if time.monotonic() >= next_check:
                _check_or_stop(check, query)
                next_check = time.monotonic() + CHECK_SECONDS
        sink.stop()
        sink.wait_committed(lambda: _get_last_batch_id(query), COMMIT_SECONDS)
        query.stop()
    except StreamingQueryException as error:
        if isinstance(sink.failure, UserError):
            raise sink.failure from None
        raise _explain_error(sink.failure or error, settings) from error


def _check_or_stop(check: Callable[[], None], query: StreamingQuery) -> None:
    try:
        check()
    except UserError:
        # Otherwise Spark's traces of the running query would follow the error and hide it.
        query.stop()
        raise


def _get_last_batch_id(query: StreamingQuery) -> int:
    progress = query.lastProgress
    return -1 if progress is None else int(progress["batchId"])


def _explain_error(error: Exception, settings: StreamSettings) -> Exception:
    text = str(error)
    cause: Any = getattr(error, "cause", None)
    stack = text + str(getattr(error, "_stackTrace", "") or "") + str(getattr(cause, "_stackTrace", "") or "")
    summary = _find_root_cause(error) or next(iter(text.splitlines()), "") or type(error).__name__
    if any(name in stack for name in _OFFSET_LOGS) or "/offsets/" in text:
        return UserError(
            f"The checkpoint {settings.checkpoint} is damaged ({summary}): move it aside and restart the stream;"
            " it then reads the topic from its beginning, which does not change what the sinks store."
        )
    return UserError(f"The stream failed: {summary}")


def _find_root_cause(error: Exception) -> str:
    """The innermost error with a message of an error of py4j, whose own text names a call and no cause: a line of text.

    Of an error in a Python process of an executor, Spark's exception has the traceback.
    """
    if not isinstance(error, Py4JJavaError):
        return ""
    exception = error.java_exception
    while (cause := exception.getCause()) is not None and cause.getMessage():
        exception = cause
    lines = str(exception.toString()).strip().splitlines()
    return lines[-1] if lines[0].endswith("Traceback (most recent call last):") else lines[0]
