"""The raw fields on their way through the transformation: one struct `texts`, which Spark copies in one piece.

Each step generates code for every column that it copies. The steps below change few rows: they leave the struct of any
other row as it is.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import reduce

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from insights.model.user import RawUser, read_field_types

RAW_FIELDS = tuple(read_field_types(RawUser))


def read_texts() -> dict[str, Column]:
    """Return the fields of the struct by name."""
    return {name: F.col(f"texts.{name}") for name in RAW_FIELDS}


def replace_texts(frame: DataFrame, condition: Column, replaced: Mapping[str, Column]) -> DataFrame:
    """Replace these fields in the rows where the condition is true."""
    fields = (replaced.get(name, text).alias(name) for name, text in read_texts().items())
    return frame.withColumn("texts", F.when(condition, F.struct(*fields)).otherwise(F.col("texts")))


def change_texts(
    frame: DataFrame, condition: Column, names: Sequence[str], *changes: Callable[[Column], Column]
) -> DataFrame:
    """Change these fields, by one function after the other, in the rows where the condition is true.

    Spark interprets the functions, element by element, instead of generating code once for each field.
    """
    array = reduce(F.transform, changes, F.array(*(F.col(f"texts.{name}") for name in names)))
    frame = frame.withColumn("changed", F.when(condition, array))
    changed = {name: F.get("changed", F.lit(position)) for position, name in enumerate(names)}
    return replace_texts(frame, F.col("changed").isNotNull(), changed).drop("changed")
