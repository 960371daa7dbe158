"""A plan that is executed for other rows than those it was made of."""

import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from insights.stream.planned_frame import PlannedFrame, make_template


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


def test_a_template_has_no_rows_and_a_partition_for_each_core(spark: SparkSession) -> None:
    template = make_template(spark, spark.range(1).schema)
    assert template.count() == 0
    assert template.rdd.getNumPartitions() == spark.sparkContext.defaultParallelism


def test_plans_that_cannot_be_executed_for_other_rows_are_rejected(spark: SparkSession) -> None:
    template = make_template(spark, spark.range(1).schema)
    for frame in (spark.range(3).select("id"), template.union(template), template.groupBy("id").count()):
        with pytest.raises(ValueError, match="cannot be executed for other rows"):
            PlannedFrame(frame)
