"""Write the Grafana dashboards of the chart, `charts/user-insights/dashboards/*.json`; with `--check`, only compare.

Grafana 10.1 or later. The variable `job` selects the release, by the name that its PodMonitor gives to the targets.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from string import ascii_uppercase
from typing import NamedTuple

from grafana_foundation_sdk.builders import common, prometheus, stat, timeseries
from grafana_foundation_sdk.builders import dashboard as dashboards
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.common import LegendDisplayMode, LegendPlacement
from grafana_foundation_sdk.models.dashboard import DataSourceRef

FOLDER = Path(__file__).parents[1] / "charts" / "user-insights" / "dashboards"
SOURCE = DataSourceRef(type_val="prometheus", uid="${datasource}")
JOB = 'job="$job"'


class Panel(NamedTuple):
    """A panel: its queries by legend, its unit, and whether it shows only the newest value."""

    title: str
    queries: dict[str, str]
    unit: str = "short"
    newest: bool = False


def of_flow(name: str, more: str = "") -> str:
    return f"insights_flow_{name}{{{JOB}{more}}}"


def of_stream(name: str) -> str:
    return f"insights_stream_{name}{{{JOB}}}"


def of_publisher(name: str) -> str:
    return f"insights_publisher_{name}{{{JOB}}}"


FLOW: dict[str, Sequence[Panel]] = {
    "Is everything well": (
        Panel("Ledger broken", {"": of_flow("ledger_state", ', state="broken"')}, "bool_yes_no", newest=True),
        Panel("Last check", {"": f"time() - {of_flow('checked_timestamp_seconds')}"}, "s", newest=True),
        Panel(
            "Age of the newest record", {"": f"time() - {of_flow('newest_record_timestamp_seconds')}"}, "s", newest=True
        ),
        Panel("Served users", {"": of_flow("records", ', hop="served"')}, newest=True),
    ),
    "Flow": (
        Panel("Records per second by hop", {"{{hop}}": f"rate({of_flow('records')}[5m])"}, "ops"),
        Panel(
            "In flight",
            {
                "rows for the publisher": of_flow("unpublished_rows"),
                "messages for the stream": of_flow("unread_messages"),
                "batches for Cassandra": of_flow("undelivered_batches"),
            },
        ),
        Panel("Time from fetch to delivery", {"p{{percentile}}": of_flow("latency_seconds")}, "s"),
        Panel(
            "Rejected within 10 minutes",
            {"{{reason}}": f"{of_flow('rejected_records')} > 0 or {of_flow('rejected_records')} * 0"},
        ),
        Panel("Open in quarantine", {"{{reason}}": of_flow("quarantined_records")}),
        Panel("Duration of the check", {"": of_flow("check_seconds")}, "s"),
    ),
    "Publisher": (
        Panel("Rows per second", {"{{pod}}": f"rate({of_publisher('published_total')}[5m])"}, "ops"),
        Panel("Leader", {"{{pod}}": of_publisher("leader")}),
        Panel("Wait for older transactions", {"{{pod}}": of_publisher("gate_wait_seconds")}, "s"),
        Panel("Lost connections per hour", {"{{pod}}": f"increase({of_publisher('reconnects_total')}[1h])"}),
    ),
    "Stream": (
        Panel(
            "Messages per second",
            {"arrive": of_stream("input_rows_per_second"), "are processed": of_stream("processed_rows_per_second")},
            "ops",
        ),
        Panel("Records per second by verdict", {"{{verdict}}": f"rate({of_stream('records_total')}[5m])"}, "ops"),
        Panel("Duration of a micro-batch", {"": of_stream("batch_seconds")}, "s"),
        Panel("Duration of its stages", {"{{stage}}": of_stream("stage_seconds")}, "s"),
        Panel("Lag by partition", {"{{topic}}/{{partition}}": of_stream("kafka_lag")}),
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
        built = built.with_target(prometheus.Dataquery().expr(expression).legend_format(name).ref_id(letter))
    return built


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the dashboards, or exit with a sentence if `--check` finds one that is out of date."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args(arguments)
    FOLDER.mkdir(exist_ok=True)
    for name in DASHBOARDS:
        file, text = FOLDER / f"{name}.json", build_dashboard(name)
        if not options.check:
            file.write_text(text)
        elif not file.exists() or file.read_text() != text:
            sys.exit(f"{file.name} does not match scripts/grafana_dashboards.py: run `make chart-docs`.")


if __name__ == "__main__":
    main()
