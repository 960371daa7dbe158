"""A plan that is executed for other rows than those it was made of."""

import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from insights.stream.generated_projection import is_projection
from insights.stream.planned_frame import PlannedFrame, make_template
from insights.stream.reflection import read_field

MAX_STAGE_COLUMNS = 100
"""Spark's default of `spark.sql.codegen.maxFields`: a projection with more is not part of a stage."""


def test_a_planned_frame_is_that_of_the_rows_it_is_applied_to(spark: SparkSession) -> None:
    schema = "number BIGINT, text STRING"
    template = make_template(spark, spark.createDataFrame([], schema).schema)
    planned = PlannedFrame(template.where("number > 1").select((F.col("number") * 2).alias("twice"), F.upper("text")))
    for rows in ([(1, "a"), (2, "b"), (3, None)], [(7, "c")], []):
        frame = planned.apply(spark.createDataFrame(rows, schema))
        assert frame.columns == ["twice", "upper(text)"]
        expected = [(2 * number, text and text.upper()) for number, text in rows if number > 1]
        assert [tuple(row) for row in frame.collect()] == expected


def test_rows_that_python_derives_are_planned_too(spark: SparkSession) -> None:
    template = make_template(spark, spark.range(1).schema)
    planned = PlannedFrame(template.mapInArrow(lambda batches: batches, "id BIGINT"))
    assert [row.id for row in planned.apply(spark.range(3)).collect()] == [0, 1, 2]


def test_no_task_generates_the_code_of_a_large_projection(spark: SparkSession) -> None:
    template = make_template(spark, spark.range(1).schema)
    multiples = [(F.col("id") * number).alias(f"times_{number}") for number in range(MAX_STAGE_COLUMNS + 1)]
    planned = PlannedFrame(template.select(multiples))
    first, second = (planned.apply(spark.range(rows)) for rows in (2, 3))
    assert [row.times_100 for row in (*first.collect(), *second.collect())] == [0, 100, 0, 100, 200]
    rdds = [frame._jdf.queryExecution().analyzed().rdd() for frame in (first, second)]
    factories = [read_field(rdd, "evaluatorFactory") for rdd in rdds]
    assert factories[0].equals(factories[1])
    assert not is_projection(factories[0])


def test_a_template_has_no_rows_and_a_partition_for_each_core(spark: SparkSession) -> None:
    template = make_template(spark, spark.range(1).schema)
    assert template.count() == 0
    assert template.rdd.getNumPartitions() == spark.sparkContext.defaultParallelism


def test_plans_that_cannot_be_executed_for_other_rows_are_rejected(spark: SparkSession) -> None:
    template = make_template(spark, spark.range(1).schema)
    for frame in (spark.range(3).select("id"), template.union(template), template.groupBy("id").count()):
        with pytest.raises(ValueError, match="cannot be executed for other rows"):
            PlannedFrame(frame)
