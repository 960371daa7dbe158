"""A panel of a Grafana dashboard, and a query that all of them use."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple


class Panel(NamedTuple):
    """A panel: its queries by legend, its unit, and whether it shows only the newest value or exemplars as well."""

    title: str
    queries: dict[str, str]
    unit: str = "short"
    newest: bool = False
    exemplars: bool = False


def per_second(series: str, *by: str) -> str:
    """The rate of a counter over 5 minutes, summed for each value of the labels `by`."""
    return f"sum by ({', '.join(by)}) (rate({series}[5m]))"


Rows = Mapping[str, Sequence[Panel]]
"""The panels of a dashboard by the title of their row."""
