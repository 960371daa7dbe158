"""Measure how fast messages become users in Spark: the stream's columns beside a row UDF and a pandas UDF.

`python -m benchmarks.transform [--records N] [--rounds N]` starts Spark on two cores, caches messages of generated
records in its memory, and writes each contender's users to Spark's sink `noop`, which takes every value.
"""

import os
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import AnyHttpUrl
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from benchmarks.common.entry import conclude, list_arguments, make_parser, run
from benchmarks.common.pages import SEED, serve_pages
from benchmarks.common.results import Case, Result
from benchmarks.common.rounds import Turn, measure, take_turns
from benchmarks.peers import simple_rules
from benchmarks.publish import PAGE_SIZE, read_user_id
from insights.local.jars import ensure_jars, list_group_files, read_lock
from insights.local.java import find_java
from insights.model.message import RawMessage
from insights.settings import LocalSettings, SourceSettings, StreamSettings, load
from insights.source import SourceClient
from insights.stream import transform
from insights.stream.query import make_spark_session

OWN = "user-insights"
PARTITIONS = 2
FETCHED_AT = datetime(2026, 11, 1, tzinfo=UTC)
ABOUT = f"""\
Messages of the raw topic, cached in Spark's memory, to users, with the sink `noop`, on `local[2]`. `user-insights` is
the stream's transformation: built-in functions only, all rules, users and rejected records. The others are a Python
UDF per row and a pandas UDF per batch with the same fields and simplified rules, which leave out
{" ".join((simple_rules.__doc__ or "").split("They leave out: ")[1].split())}"""
VALIDITY = "the accepted users, and their e-mail addresses, ages and months of registration, were compared beforehand"


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print and save the result. `arguments` default to the process's own.

    Raises:
        RuntimeError: the contenders accept different users.
        UserError: Java or a jar is missing.
    """
    parser = make_parser(__doc__)
    parser.add_argument("--records", type=int, default=50_000, help=f"a multiple of {PAGE_SIZE:,}")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args(arguments)
    jars, java = load(LocalSettings).jars, find_java(load(LocalSettings).java_home)
    ensure_jars(read_lock(), jars, java)
    connectors = ",".join(str(file) for file in list_group_files("spark", jars))
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "messages.parquet")
        pq.write_table(generate_messages(options.records), file)
        os.environ["PYSPARK_PYTHON"] = sys.executable
        spark = make_spark_session(StreamSettings(master="local[2]", jars=connectors, driver_memory="1g"))
        try:
            turns = compare(spark, file, options.records, options.rounds)
        finally:
            spark.stop()
    title = "Messages into users"
    result = Result("transform", title, ABOUT, "records", VALIDITY, [Case("", turns)], list_arguments(parser, options))
    conclude(result, options.results)


def compare(spark: SparkSession, file: Path, records: int, rounds: int) -> dict[str, list[Turn]]:
    """The turns of each contender, after a round that is not counted and compares what they accept.

    Raises:
        RuntimeError: they accept different users.
    """
    messages = spark.read.parquet(str(file)).repartition(PARTITIONS).cache()
    messages.count()
    contenders = {OWN: transform_own, "row UDF": transform_rows, "pandas UDF": transform_batches}
    require_same_users({name: build(messages) for name, build in contenders.items()})

    def take_turn(build: Callable[[DataFrame], DataFrame], _: int) -> Turn:
        write = build(messages).write.format("noop").mode("overwrite")
        return measure(write.save, {"Spark": os.getpid()}, records, counts_client=False, memory=True)

    return take_turns({name: partial(take_turn, build) for name, build in contenders.items()}, rounds)


def transform_own(messages: DataFrame) -> DataFrame:
    """The outcomes of the stream's transformation."""
    return transform.select_outcomes(transform.transform_messages(messages), 4096)


def transform_rows(messages: DataFrame) -> DataFrame:
    """The users by a UDF per row."""

    def clean(value: bytes, version: int, event_id: str) -> tuple[Any, ...] | None:
        return simple_rules.clean_row(value, version, event_id, FETCHED_AT)

    udf = F.udf(clean, simple_rules.DDL)
    return messages.select(udf("value", *_select_headers()).alias("accepted"))


def transform_batches(messages: DataFrame) -> DataFrame:
    """The users by a UDF per Arrow batch."""

    def clean(values: pd.Series, versions: pd.Series, event_ids: pd.Series) -> pd.DataFrame:
        return simple_rules.clean_rows(values, versions, event_ids, FETCHED_AT)

    udf: Any = F.pandas_udf(clean, simple_rules.DDL)
    return messages.select(udf("value", *_select_headers()).alias("accepted"))


def _select_headers() -> tuple[Column, Column]:
    headers = F.map_from_entries(F.transform("headers", lambda header: F.struct(header.key, header.value)))
    return headers["version"].cast("string").cast("bigint"), headers["event_id"].cast("string")


def require_same_users(contenders: Mapping[str, DataFrame]) -> None:
    """Compare what the contenders accept.

    Raises:
        RuntimeError: it differs.
    """
    fields = ("user_id", "email", "age", "registered_month")
    found = {
        name: sorted(
            frame.where("accepted.user_id IS NOT NULL").select(*(f"accepted.{field}" for field in fields)).collect()
        )
        for name, frame in contenders.items()
    }
    for name, users in found.items():
        if users != found[OWN] or not users:
            raise RuntimeError(f"{name} accepts {len(users):,} users, {OWN} {len(found[OWN]):,}, or with other fields")


def generate_messages(records: int) -> pa.Table:
    """Messages of generated pages, in the columns of Spark's Kafka source."""
    settings = partial(SourceSettings, page_size=PAGE_SIZE, deadline_seconds=120)
    with serve_pages(records // PAGE_SIZE, PAGE_SIZE) as url, SourceClient(settings(url=AnyHttpUrl(url))) as source:
        pages = [source.fetch_page(SEED, page) for page in range(1, records // PAGE_SIZE + 1)]
    rows = [(record, page.batch_id) for page in pages for record in page.records]
    messages = []
    for number, (record, batch_id) in enumerate(rows):
        key = read_user_id(record).decode()
        message = RawMessage(str(number), UUID(key), record, batch_id, 1_000_000 + number, FETCHED_AT)
        headers = [{"key": name, "value": value} for name, value in message.headers()]
        place = {"topic": "users.raw", "partition": number % PARTITIONS, "offset": number // PARTITIONS}
        messages.append({"key": key.encode(), "value": record, **place, "timestamp": FETCHED_AT, "headers": headers})
    header = pa.struct([("key", pa.string()), ("value", pa.binary())])
    types = {"key": pa.binary(), "value": pa.binary(), "topic": pa.string(), "partition": pa.int32()}
    types |= {"offset": pa.int64(), "timestamp": pa.timestamp("us", "UTC"), "headers": pa.list_(header)}
    return pa.Table.from_pylist(messages, pa.schema(types))


if __name__ == "__main__":
    run(main)
