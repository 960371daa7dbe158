"""A DataFrame that Spark plans once, and executes for the rows of each micro-batch.

Spark plans a streaming query again for every micro-batch: once to execute it, and once more to describe it to its
listeners. That takes in proportion to the number of expressions, of which the transformation has thousands, and longer
than a small batch itself. Spark has no public interface for a plan that is executed again with other rows; this module
uses the classes of the pinned version.
"""

from typing import Any

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.classic.column import _to_seq
from pyspark.sql.types import StructType

_LEAF = "Scan ExistingRDD"


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
        self._schema = frame._jdf.schema()
        self._nodes = _list_nodes(frame._jdf.queryExecution().executedPlan())

    def apply(self, rows: DataFrame) -> DataFrame:
        """The frame of these rows."""
        spark = rows.sparkSession
        leaf, *parents = self._nodes
        arguments = [leaf.productElement(number) for number in range(leaf.productArity())]
        arguments[arguments.index(leaf.rdd())] = rows._jdf.queryExecution().toRdd()
        node = leaf.copy(*arguments)
        for parent in parents:
            node = parent.withNewChildren(_to_seq(spark.sparkContext, [node]))
        return _make_frame(spark, node.execute(), self._schema)


def _list_nodes(plan: Any) -> list[Any]:
    """The nodes of a plan without branches, from the leaf upwards."""
    nodes = [plan]
    while nodes[-1].children().size() == 1:
        nodes.append(nodes[-1].children().head())
    if nodes[-1].nodeName() != _LEAF or any("Exchange" in node.nodeName() for node in nodes):
        raise ValueError(f"this plan cannot be executed for other rows: {plan.toString()}")
    return nodes[::-1]


def _make_frame(spark: SparkSession, rdd: Any, schema: Any) -> DataFrame:
    return DataFrame(spark._jsparkSession.internalCreateDataFrame(rdd, schema, False), spark)
