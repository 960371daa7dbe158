"""Staged rows to the raw topic: at least once, none lost, in commit order, by one publisher at a time."""

from insights.publish.metrics import Metrics
from insights.publish.publisher import Publisher
from insights.publish.wake import Wake

__all__ = ["Metrics", "Publisher", "Wake"]
