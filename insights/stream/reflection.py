"""Private parts of Spark's classes, which Py4J does not show."""

from typing import Any


def read_field(instance: Any, name: str) -> Any:
    """The value of a field that the class of a Java object declares."""
    field = instance.getClass().getDeclaredField(name)
    field.setAccessible(True)
    return field.get(instance)


def get_module(spark: Any, name: str) -> Any:
    """The Scala object of this full name."""
    return getattr(getattr(spark._jvm, f"{name}$"), "MODULE$")
