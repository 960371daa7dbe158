"""What the driver receives of a batch: encoded parts, and not its rows."""

import sys
import zipimport
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pyarrow as pa
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.classic.dataframe import DataFrame as ClassicDataFrame

from insights.sinks.batch_contents import COLLECTED_BYTES
from insights.sinks.outcomes import collect_outcomes, encode_outcomes
from insights.stream import transform
from insights.stream.planned_frame import PlannedFrame
from tests.helpers.oracle import Message
from tests.helpers.raw_users import message, user


def make_messages(count: int) -> list[Message]:
    ids = [str(UUID(int=number + 1)) for number in range(count)]
    return [message(user(login__uuid=uid), offset, uid) for offset, uid in enumerate(ids)]


@pytest.fixture(scope="module")
def collect(
    transformed_template: DataFrame, messages_frame: Callable[[list[Message]], DataFrame]
) -> Callable[..., Any]:
    encoded = PlannedFrame(encode_outcomes(transform.select_outcomes(transformed_template, COLLECTED_BYTES)))

    def collect_messages(messages: list[Message], partitions: int = 1) -> Any:
        return collect_outcomes(encoded.apply(messages_frame(messages).repartition(partitions, "offset")))

    return collect_messages


def test_accepted_and_rejected_records_of_every_partition_arrive(collect: Callable[..., Any]) -> None:
    large = message(b"x" * (COLLECTED_BYTES + 1), 90)
    messages = [*make_messages(30), message(b"no JSON", 80), message(b"[]", 81), large]
    accepted, rejected, has_large = collect(messages, 3)
    assert (len(accepted), has_large) == (30, True)
    assert {row["origin"] for row in accepted.rows.to_pylist()} == {f"users.raw/0/{n}" for n in range(30)}
    assert len(set(accepted.numbered["n"].to_pylist())) == 30
    assert sorted(rejected["origin"].to_pylist()) == ["users.raw/0/80", "users.raw/0/81"]
    assert sorted(rejected["payload"].to_pylist()) == [b"[]", b"no JSON"]


def test_a_batch_without_rejected_records_or_without_records_is_complete(collect: Callable[..., Any]) -> None:
    accepted, rejected, has_large = collect(make_messages(3))
    assert (len(accepted), rejected, has_large) == (3, None, False)
    accepted, rejected, has_large = collect(make_messages(3)[:0])
    assert (len(accepted), accepted.rows.num_rows, rejected, has_large) == (0, 0, None, False)


def test_the_driver_receives_as_many_rows_for_many_records_as_for_few(
    collect: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    received: list[int] = []
    to_arrow = ClassicDataFrame.toArrow

    def count_rows(frame: Any) -> pa.Table:
        table = to_arrow(frame)
        received.append(table.num_rows)
        return table

    monkeypatch.setattr(ClassicDataFrame, "toArrow", count_rows)
    for records in (10, 1000):
        collect(make_messages(records))
    assert received == [1, 1]


def test_a_python_process_of_an_executor_reads_no_archive_for_a_task(spark: SparkSession) -> None:
    def list_archives(_: int) -> list[str]:
        finders = sys.path_importer_cache.items()
        return [path for path, finder in finders if isinstance(finder, zipimport.zipimporter)]

    assert spark.sparkContext.parallelize([0], 1).map(list_archives).collect() == [[]]
