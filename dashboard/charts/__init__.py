"""The figures: counts in, a Plotly figure out. Text that comes from data is escaped, as Plotly reads tags in text."""

from dashboard.charts.base import Counts
from dashboard.charts.flow import (
    Batch,
    BatchLatency,
    PartitionLoad,
    batch_durations,
    batch_latencies,
    partition_load,
)
from dashboard.charts.places import Point, country_map, sample_map
from dashboard.charts.quarantine import quarantine_by_reason
from dashboard.charts.registrations import registrations_by_month, registrations_by_year
from dashboard.charts.users import users_by_age_band, users_by_country, users_by_gender, users_by_generation

__all__ = [
    "Batch", "BatchLatency", "Counts", "PartitionLoad", "Point", "batch_durations", "batch_latencies", "country_map",
    "partition_load", "quarantine_by_reason", "registrations_by_month",
    "registrations_by_year", "sample_map", "users_by_age_band", "users_by_country", "users_by_gender",
    "users_by_generation",
]  # fmt: skip
