"""Write the Grafana dashboards of the chart, `charts/user-insights/dashboards/*.json`; with `--check`, only compare.

Grafana 10.1 or later. The variable `job` selects the release, by the name that its PodMonitor gives to the targets.
"""

import argparse
from collections.abc import Sequence
from string import ascii_uppercase
from typing import NamedTuple

from grafana_foundation_sdk.builders import common, prometheus, stat, timeseries
from grafana_foundation_sdk.builders import dashboard as dashboards
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.common import LegendDisplayMode, LegendPlacement
from grafana_foundation_sdk.models.dashboard import DataSourceRef

from scripts.chart_docs import CHART, write_files

FOLDER = CHART / "dashboards"
SOURCE = DataSourceRef(type_val="prometheus", uid="${datasource}")


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


FLOW: dict[str, Sequence[Panel]] = {
    "Is everything well": (
        Panel("Ledger broken", {"": of("flow_ledger_state", ', state="broken"')}, "bool_yes_no", newest=True),
        Panel("Last check", {"": f"time() - {of('flow_checked_timestamp_seconds')}"}, "s", newest=True),
        Panel(
            "Age of the newest record", {"": f"time() - {of('flow_newest_record_timestamp_seconds')}"}, "s", newest=True
        ),
        Panel("Served users", {"": of("flow_records", ', hop="served"')}, newest=True),
    ),
    "Flow": (
        Panel("Records per second by hop", {"{{hop}}": f"rate({of('flow_records')}[5m])"}, "ops"),
        Panel(
            "In flight",
            {
                "rows for the publisher": of("flow_unpublished_rows"),
                "messages for the stream": of("flow_unread_messages"),
                "batches for Cassandra": of("flow_undelivered_batches"),
            },
        ),
        Panel("Time from fetch to delivery", {"p{{percentile}}": of("flow_latency_seconds")}, "s"),
        Panel(
            "Rejected within 10 minutes",
            {"{{reason}}": f"{of('flow_rejected_records')} > 0 or {of('flow_rejected_records')} * 0"},
        ),
        Panel("Open in quarantine", {"{{reason}}": of("flow_quarantined_records")}),
        Panel("Duration of the check", {"": of("flow_check_seconds")}, "s"),
    ),
    "Publisher": (
        Panel("Rows per second", {"{{pod}}": f"rate({of('publisher_published_total')}[5m])"}, "ops"),
        Panel("Leader", {"{{pod}}": of("publisher_leader")}),
        Panel("Wait for older transactions", {"{{pod}}": of("publisher_gate_wait_seconds")}, "s"),
        Panel("Lost connections per hour", {"{{pod}}": f"increase({of('publisher_reconnects_total')}[1h])"}),
    ),
    "Stream": (
        Panel(
            "Messages per second",
            {"arrive": of("stream_input_rows_per_second"), "are processed": of("stream_processed_rows_per_second")},
            "ops",
        ),
        Panel("Records per second by verdict", {"{{verdict}}": f"rate({of('stream_records_total')}[5m])"}, "ops"),
        Panel("Duration of a micro-batch", {"": of("stream_batch_seconds")}, "s"),
        Panel("Duration of its stages", {"{{stage}}": of("stream_stage_seconds")}, "s"),
        Panel("Lag by partition", {"{{topic}}/{{partition}}": of("stream_kafka_lag")}),
        Panel(
            "Time from fetch to delivery, and traces",
            {f"p{percent}": quantile(percent / 100, "stream_latency_seconds") for percent in (50, 95, 99)},
            "s",
            exemplars=True,
        ),
        Panel(
            "Tasks per second by executor",
            {
                "{{executor_id}} completed": f"rate({of('stream_executor_completed_tasks_total')}[5m])",
                "{{executor_id}} failed": f"rate({of('stream_executor_failed_tasks_total')}[5m])",
            },
            "ops",
        ),
        Panel("Running tasks by executor", {"{{executor_id}}": of("stream_executor_active_tasks")}),
        Panel(
            "Share of task time in garbage collection",
            {
                "{{executor_id}}": f"rate({of('stream_executor_gc_seconds_total')}[5m])"
                f" / rate({of('stream_executor_task_seconds_total')}[5m])"
            },
            "percentunit",
        ),
        Panel(
            "Shuffled bytes per second by executor",
            {
                "{{executor_id}} read": f"rate({of('stream_executor_shuffle_read_bytes_total')}[5m])",
                "{{executor_id}} written": f"rate({of('stream_executor_shuffle_written_bytes_total')}[5m])",
            },
            "Bps",
        ),
        Panel(
            "Peak memory of the JVM by executor",
            {"{{executor_id}} {{memory}}": of("stream_executor_peak_memory_bytes")},
            "bytes",
        ),
    ),
    "Dashboard": (
        Panel("Open pages", {"{{pod}}": of("dashboard_sessions")}),
        Panel(
            "Renders per second",
            {"{{page}}": f"sum by (page) (rate({of('dashboard_render_seconds_count')}[5m]))"},
            "ops",
        ),
        Panel(
            "Time of a render, 95th percentile",
            {"{{page}}": quantile(0.95, "dashboard_render_seconds", "page")},
            "s",
        ),
        Panel("Uncaught errors per hour", {"{{pod}}": f"increase({of('dashboard_errors_total')}[1h])"}),
        Panel(
            "Queries per second",
            {"{{store}}, {{outcome}}": f"sum by (store, outcome) (rate({of('dashboard_queries_total')}[5m]))"},
            "ops",
        ),
        Panel(
            "Answers from the cache per second",
            {"{{store}}": f"sum by (store) (rate({of('dashboard_cached_answers_total')}[5m]))"},
            "ops",
        ),
    ),
}
DASHBOARDS = {"flow": ("User Insights: flow", FLOW)}
"""Title and rows of each dashboard, by the name of its file."""


def build_dashboard(name: str) -> str:
    """The dashboard as JSON."""
    title, rows = DASHBOARDS[name]
    builder = (
        dashboards.Dashboard(title)
        .uid(f"user-insights-{name}")
        .tags(["user-insights"])
        .refresh("30s")
        .time("now-6h", "now")
        .timezone("browser")
        .with_variable(dashboards.DatasourceVariable("datasource").label("Data source").type("prometheus"))
        .with_variable(
            dashboards.QueryVariable("job")
            .label("Release")
            .datasource(SOURCE)
            .query("label_values(insights_flow_measured_timestamp_seconds, job)")
        )
    )
    for row, panels in rows.items():
        builder = builder.with_row(dashboards.Row(row))
        for panel in panels:
            builder = builder.with_panel(_build_panel(panel))
    return JSONEncoder(sort_keys=True, indent=1).encode(builder.build()) + "\n"


def _build_panel(panel: Panel) -> stat.Panel | timeseries.Panel:
    built: stat.Panel | timeseries.Panel
    if panel.newest:
        built = stat.Panel().height(4).span(6).reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
    else:
        legend = (
            common.VizLegendOptions()
            .show_legend(True)
            .placement(LegendPlacement.BOTTOM)
            .display_mode(LegendDisplayMode.LIST)
        )
        built = timeseries.Panel().height(8).span(8).legend(legend)
    built = built.title(panel.title).unit(panel.unit).datasource(SOURCE)
    for letter, (name, expression) in zip(ascii_uppercase, panel.queries.items(), strict=False):
        query = prometheus.Dataquery().expr(expression).legend_format(name).ref_id(letter)
        built = built.with_target(query.exemplar(True) if panel.exemplars else query)
    return built


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the dashboards, or exit with a sentence if `--check` finds one that is out of date."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args(arguments)
    FOLDER.mkdir(exist_ok=True)
    files = {FOLDER / f"{name}.json": build_dashboard(name) for name in DASHBOARDS}
    write_files(files, "scripts/grafana_dashboards.py", check=options.check)


if __name__ == "__main__":
    main()
