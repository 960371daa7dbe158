"""Functions that turn counts into Plotly figures. Plotly interprets tags in text, so they escape data."""

from dashboard.charts.arrivals import MinuteArrivals, plot_arrivals_per_minute
from dashboard.charts.base import Counts, sort_by_count
from dashboard.charts.flow import (
    BatchDuration,
    BatchLatency,
    PartitionLoad,
    plot_batch_durations,
    plot_batch_latencies,
    plot_partition_load,
)
from dashboard.charts.places import (
    NOT_GIVEN,
    MapPoint,
    plot_country_map,
    plot_sample_map,
    plot_users_by_city,
    plot_users_by_region,
)
from dashboard.charts.quarantine import plot_quarantine_by_reason, plot_rejected_over_time
from dashboard.charts.registrations import (
    WEEKDAYS,
    plot_cohorts,
    plot_growth_by_country,
    plot_registrations_by_month,
    plot_registrations_by_weekday,
    plot_registrations_by_year,
)
from dashboard.charts.users import (
    Pairs,
    plot_age_pyramid,
    plot_users_by_country,
    plot_users_by_gender,
    plot_users_by_generation,
)

__all__ = [
    "NOT_GIVEN",
    "WEEKDAYS",
    "BatchDuration",
    "BatchLatency",
    "Counts",
    "MapPoint",
    "MinuteArrivals",
    "Pairs",
    "PartitionLoad",
    "plot_age_pyramid",
    "plot_arrivals_per_minute",
    "plot_batch_durations",
    "plot_batch_latencies",
    "plot_cohorts",
    "plot_country_map",
    "plot_growth_by_country",
    "plot_partition_load",
    "plot_quarantine_by_reason",
    "plot_registrations_by_month",
    "plot_registrations_by_weekday",
    "plot_registrations_by_year",
    "plot_rejected_over_time",
    "plot_sample_map",
    "plot_users_by_city",
    "plot_users_by_country",
    "plot_users_by_gender",
    "plot_users_by_generation",
    "plot_users_by_region",
    "sort_by_count",
]
