"""A panel of a Grafana dashboard, and the functions with which its queries are written."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple


class Panel(NamedTuple):
    """A panel: its queries by legend, its unit, and whether it shows only the newest value or exemplars as well."""

    title: str
    queries: dict[str, str]
    unit: str = "short"
    newest: bool = False
    exemplars: bool = False


def of(metric: str, more: str = "") -> str:
    """The series of a metric of the release, restricted by `more` labels."""
    return f'insights_{metric}{{job="$job"{more}}}'


def quantile(share: float, histogram: str, *by: str) -> str:
    """A quantile of a histogram of the release over 5 minutes, for each value of the labels `by`."""
    return f"histogram_quantile({share}, sum by ({', '.join([*by, 'le'])}) (rate({of(f'{histogram}_bucket')}[5m])))"


Rows = Mapping[str, Sequence[Panel]]
"""The panels of a dashboard by the title of their row."""
