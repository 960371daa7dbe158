"""One small Spark session shared by all tests in this folder."""

import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from uuid import UUID

import pytest
from pyspark.sql import DataFrame, SparkSession

from insights.model.quarantine import QuarantineRecord
from insights.model.reasons import Reason
from insights.model.user import User
from insights.stream import transform
from insights.stream.planned_frame import PlannedFrame, make_template
from insights.stream.query import PYTHON_CONF
from tests.helpers.oracle import Message, read_envelope
from tests.helpers.oracle.values import EPOCH
from tests.helpers.support import SHORT_LIVED

KAFKA_SOURCE = (
    "key BINARY, value BINARY, topic STRING, partition INT, offset BIGINT, timestamp TIMESTAMP, timestampType INT,"
    " headers ARRAY<STRUCT<key: STRING, value: BINARY>>"
)


@pytest.fixture(scope="session")
def spark() -> Iterator[SparkSession]:
    session = (
        SparkSession.builder.master("local[1]")
        .appName("unit-tests")
        .config(map=transform.SPARK_CONF | {"spark.sql.ansi.enabled": "true"})  # An overflow fails the test.
        .config(map=PYTHON_CONF)
        .config("spark.driver.memory", "1g")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.ui.enabled", "false")
        .config("spark.ui.showConsoleProgress", "false")
        .config("spark.sql.session.timeZone", "UTC")
        .config("spark.sql.shuffle.partitions", "1")
        .config("spark.driver.extraJavaOptions", f"-XX:+UseSerialGC {SHORT_LIVED}")
        .getOrCreate()
    )
    session.sparkContext.setLogLevel("OFF")
    session.sparkContext.pythonExec = sys.executable
    yield session
    session.stop()


@pytest.fixture(scope="session")
def messages_frame(spark: SparkSession) -> Callable[[list[Message]], DataFrame]:
    """Return a function that turns messages into the rows of the Kafka source."""

    def frame(messages: list[Message]) -> DataFrame:
        rows = [
            (
                None if message.key is None else bytearray(message.key),
                None if message.value is None else bytearray(message.value),
                message.topic,
                message.partition,
                message.offset,
                EPOCH + timedelta(milliseconds=message.timestamp),
                0,
                [(name, None if value is None else bytearray(value)) for name, value in message.headers] or None,
            )
            for message in messages
        ]
        return spark.createDataFrame(rows, KAFKA_SOURCE).coalesce(1)

    return frame


@pytest.fixture(scope="session")
def template(spark: SparkSession) -> DataFrame:
    """The template that messages take the place of."""
    return make_template(spark, spark.createDataFrame([], KAFKA_SOURCE).schema)


@pytest.fixture(scope="session")
def transformed_template(template: DataFrame) -> DataFrame:
    """The transformed template, of which every test takes its selections: it takes seconds to build."""
    return transform.transform_messages(template)


@pytest.fixture(scope="session")
def planned_transform(transformed_template: DataFrame) -> PlannedFrame:
    """What `transform_messages` makes of messages."""
    return PlannedFrame(transformed_template)


@pytest.fixture(scope="session")
def planned_outcomes(transformed_template: DataFrame) -> PlannedFrame:
    """What becomes of messages, with whole payloads."""
    return PlannedFrame(transform.select_outcomes(transformed_template, 2**31 - 1))


@pytest.fixture(scope="session")
def process(
    planned_outcomes: PlannedFrame,
    messages_frame: Callable[[list[Message]], DataFrame],
) -> Callable[[list[Message]], list[User | QuarantineRecord]]:
    """Return a function that transforms messages with distinct offsets and returns their outcomes in their order."""

    def process_messages(messages: list[Message]) -> list[User | QuarantineRecord]:
        results = planned_outcomes.apply(messages_frame(messages)).toArrow().to_pylist()
        unversioned = {
            f"{message.topic}/{message.partition}/{message.offset}": read_envelope(message).unversioned
            for message in messages
        }
        by_origin: dict[str, User | QuarantineRecord] = {}
        for outcome in results:
            row, rejected = outcome["accepted"], outcome["rejected"]
            assert (row is None) != (rejected is None)
            origin = (row or rejected)["origin"]
            assert origin not in by_origin
            if row is None:
                by_origin[origin] = QuarantineRecord(**rejected | {"reason": Reason(rejected["reason"])})
                continue
            del row["origin"]
            assert row.pop("unversioned") == unversioned[origin]
            by_origin[origin] = User(**row | {"user_id": UUID(row["user_id"])})
        assert len(by_origin) == len(messages)
        return [by_origin[f"{message.topic}/{message.partition}/{message.offset}"] for message in messages]

    return process_messages
