"""A DataFrame that Spark plans once, and executes for the rows of each micro-batch.

Spark plans a streaming query again for every micro-batch: once to execute it, and once more to describe it to its
listeners; and it generates the code of the plan again, in part in every task. That takes in proportion to the number of
expressions, of which the transformation has thousands, and longer than a small batch itself. Spark has no public
interface for a plan that is executed again with other rows; this module uses the classes of the pinned version.
"""

from typing import Any

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.types import StructType

from insights.stream.generated_projection import generate_projection, is_projection
from insights.stream.reflection import read_field

_LEAF = "Scan ExistingRDD"
_EVALUATED = "org.apache.spark.rdd.MapPartitionsWithEvaluatorRDD"
_USE_EVALUATORS = "spark.sql.execution.usePartitionEvaluator"


def make_template(spark: SparkSession, schema: StructType) -> DataFrame:
    """A frame without rows, which the optimiser does not know to be empty, in a partition for each core."""
    context = spark.sparkContext
    rows = spark.createDataFrame(context.parallelize([], context.defaultParallelism), schema)
    return _make_frame(spark, rows._jdf.queryExecution().toRdd(), rows._jdf.schema())


class PlannedFrame:
    """What a frame derives from a template, for any rows with the template's columns.

    Args:
        frame: each of its rows derives from one row of one template.

    Raises:
        ValueError: the frame joins or regroups rows, or is not derived from a template.
    """

    def __init__(self, frame: DataFrame) -> None:
        spark = frame.sparkSession
        self._schema = frame._jdf.schema()
        self._class_tag = spark._jvm.scala.reflect.ClassTag.Any()
        self._factories = [
            generate_projection(spark, factory) if is_projection(factory) else factory
            for factory in _list_evaluator_factories(frame)
        ]

    def apply(self, rows: DataFrame) -> DataFrame:
        """The frame of these rows."""
        rdd = rows._jdf.queryExecution().toRdd()
        for factory in self._factories:
            rdd = rdd.mapPartitionsWithEvaluator(factory, self._class_tag)
        return _make_frame(rows.sparkSession, rdd, self._schema)


def _list_evaluator_factories(frame: DataFrame) -> list[Any]:
    """The steps of a frame in the order of execution, as Spark's factories of what executes them for a partition."""
    plan = frame._jdf.queryExecution().executedPlan()
    leaf, factories = _find_leaf(plan), []
    if leaf is not None:
        rdd = _execute_by_evaluators(frame.sparkSession, plan)
        while rdd.getClass().getName() == _EVALUATED:
            factories.append(read_field(rdd, "evaluatorFactory"))
            rdd = rdd.prev()
        if rdd.id() == leaf.rdd().id():
            return factories[::-1]
    raise ValueError(f"this plan cannot be executed for other rows: {plan.toString()}")


def _execute_by_evaluators(spark: SparkSession, plan: Any) -> Any:
    """The RDD of a plan; its steps are RDDs that name their factories."""
    spark.conf.set(_USE_EVALUATORS, "true")
    try:
        return plan.execute()
    finally:
        spark.conf.unset(_USE_EVALUATORS)


def _find_leaf(plan: Any) -> Any:
    """The scan of the template below a plan, None if the plan has branches or no template."""
    while plan.children().size() == 1:
        plan = plan.children().head()
    return plan if plan.nodeName() == _LEAF else None


def _make_frame(spark: SparkSession, rdd: Any, schema: Any) -> DataFrame:
    return DataFrame(spark._jsparkSession.internalCreateDataFrame(rdd, schema, False), spark)
