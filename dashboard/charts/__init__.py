"""The figures: counts in, a Plotly figure out. Text that comes from data is escaped, as Plotly reads tags in text."""

from dashboard.charts.arrivals import Arrivals, arrivals_per_minute
from dashboard.charts.base import Counts, largest_first
from dashboard.charts.flow import (
    Batch,
    BatchLatency,
    PartitionLoad,
    batch_durations,
    batch_latencies,
    partition_load,
)
from dashboard.charts.places import NOT_GIVEN, Point, country_map, sample_map, users_by_city, users_by_region
from dashboard.charts.quarantine import quarantine_by_reason, refused_over_time
from dashboard.charts.registrations import (
    WEEKDAYS,
    cohorts,
    growth_by_country,
    registrations_by_month,
    registrations_by_weekday,
    registrations_by_year,
)
from dashboard.charts.users import Pairs, age_pyramid, users_by_country, users_by_gender, users_by_generation

__all__ = [
    "NOT_GIVEN", "WEEKDAYS", "Arrivals", "Batch", "BatchLatency", "Counts", "Pairs", "PartitionLoad", "Point",
    "age_pyramid", "arrivals_per_minute", "batch_durations", "batch_latencies", "cohorts", "country_map",
    "growth_by_country", "largest_first", "partition_load", "quarantine_by_reason", "refused_over_time",
    "registrations_by_month", "registrations_by_weekday", "registrations_by_year", "sample_map", "users_by_city",
    "users_by_country", "users_by_gender", "users_by_generation", "users_by_region",
]  # fmt: skip
