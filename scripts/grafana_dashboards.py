"""Write the Grafana dashboards of the chart, `charts/user-insights/dashboards/*.json`; with `--check`, only compare.

Grafana 10.1 or later. The variable `job` selects the release, by the name that its PodMonitor gives to the targets.
"""

import argparse
from collections.abc import Sequence
from string import ascii_uppercase

from grafana_foundation_sdk.builders import common, prometheus, stat, timeseries
from grafana_foundation_sdk.builders import dashboard as dashboards
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.common import LegendDisplayMode, LegendPlacement
from grafana_foundation_sdk.models.dashboard import DataSourceRef

from scripts.chart_docs import CHART, write_files
from scripts.grafana.airflow import AIRFLOW
from scripts.grafana.flow import FLOW
from scripts.grafana.panel import Panel, Rows
from scripts.grafana.stores import STORES

FOLDER = CHART / "dashboards"
SOURCE = DataSourceRef(type_val="prometheus", uid="${datasource}")


DASHBOARDS: dict[str, tuple[str, Rows]] = {
    "flow": ("User Insights: flow", FLOW),
    "stores": ("User Insights: stores", STORES),
    "airflow": ("User Insights: Airflow", AIRFLOW),
}
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
