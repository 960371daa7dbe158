"""`insights demo` and `insights up`: run the platform on this machine in the foreground."""

from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from insights.cli.app import app, console, load_stores
from insights.cli.first_batch import watch_first_batch
from insights.cli.start_view import StartView
from insights.cli.tables import print_addresses
from insights.errors import UserError
from insights.settings import LocalSettings, load


class Source(StrEnum):
    """Where records come from, unless `INSIGHTS_SOURCE_URL` names another API."""

    SIMULATOR = "simulator"
    LIVE = "live"


SourceOption = Annotated[Source, typer.Option(help="Fetch from the simulator or from the public API.")]
RecordedOption = Annotated[
    Path | None,
    typer.Option(exists=True, file_okay=False, help="Folder of recorded responses for the simulator to serve."),
]
MonitoringOption = Annotated[
    bool, typer.Option("--monitoring", help="Run Prometheus too, with the alerts. Needs the program prometheus.")
]


@app.command()
def up(
    source: SourceOption = Source.SIMULATOR, recorded: RecordedOption = None, monitoring: MonitoringOption = False
) -> None:
    """Start every server and keep them running until Ctrl-C."""
    _run(source, recorded, monitoring=monitoring, watch=False, once=False)


@app.command()
def demo(
    source: SourceOption = Source.SIMULATOR,
    recorded: RecordedOption = None,
    monitoring: MonitoringOption = False,
    once: Annotated[
        bool, typer.Option("--once", help="Exit after the first batch, with 0 if the ledger closes.")
    ] = False,
) -> None:
    """Start every server, follow the first batch through them, then show the ledger and the addresses."""
    _run(source, recorded, monitoring=monitoring, watch=True, once=once)


def _run(source: Source, recorded: Path | None, *, monitoring: bool, watch: bool, once: bool) -> None:
    from insights.local.configuration import DemoOptions, check_settings
    from insights.local.monitoring import find_prometheus
    from insights.local.platform import Platform

    settings = load(LocalSettings)
    if recorded and source is Source.LIVE:
        raise UserError("Only the simulator serves --recorded responses: leave out --source live.")
    if recorded and settings.source_url:
        raise UserError("Only the simulator serves --recorded responses: unset INSIGHTS_SOURCE_URL.")
    check_settings(settings)
    prometheus = find_prometheus() if monitoring else None
    platform = Platform(settings, DemoOptions(source is Source.LIVE, recorded, once, prometheus))
    exit_code = 0
    with StartView(console) as view:
        platform.up(view.show)
    try:
        if watch:
            try:
                exit_code = watch_first_batch(console, load_stores(), platform.is_ingesting, settings.patience_seconds)
            except UserError as error:
                if once:
                    raise
                console.print(str(error), markup=False)
        print_addresses(console, [asdict(address) for address in platform.addresses()])
        if not once:
            console.print("Everything is running. Press Ctrl-C to stop.")
            platform.wait()
    except KeyboardInterrupt:
        console.print("Stopping.")
    finally:
        platform.down()
    raise typer.Exit(exit_code if once else 0)
