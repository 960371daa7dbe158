"""`insights demo` and `insights up`: the one-machine platform in the foreground."""

from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from insights.cli.app import app, console, load_stores
from insights.cli.first_batch import watch_first_batch
from insights.cli.start_view import StartView
from insights.cli.tables import build_addresses_table, print_wide
from insights.errors import UserError
from insights.settings import LocalSettings, SourceSettings, load


class Source(StrEnum):
    """Where records come from; `INSIGHTS_SOURCE_URL` names another API."""

    SIMULATOR = "simulator"
    LIVE = "live"


SourceOption = Annotated[Source, typer.Option(help="The simulator, or the public API.")]
RecordedOption = Annotated[
    Path | None,
    typer.Option(exists=True, file_okay=False, help="A folder of recorded answers that the simulator serves."),
]


@app.command()
def up(source: SourceOption = Source.SIMULATOR, recorded: RecordedOption = None) -> None:
    """Start every server and keep it running until Ctrl-C."""
    _run(source, recorded, watch=False, once=False)


@app.command()
def demo(
    source: SourceOption = Source.SIMULATOR,
    recorded: RecordedOption = None,
    once: Annotated[bool, typer.Option("--once", help="End after the first batch: 0 when its ledger closes.")] = False,
) -> None:
    """Start every server, watch the first batch travel through them, show the ledger and the addresses."""
    _run(source, recorded, watch=True, once=once)


def _run(source: Source, recorded: Path | None, *, watch: bool, once: bool) -> None:
    from insights.local.configuration import DemoOptions
    from insights.local.platform import Platform

    settings = load(LocalSettings)
    if recorded and source is Source.LIVE:
        raise UserError("--recorded answers come from the simulator: leave out --source live.")
    if recorded and settings.source_url:
        raise UserError("--recorded answers come from the simulator: unset INSIGHTS_SOURCE_URL.")
    if settings.source_url:
        load(SourceSettings)
    platform = Platform(settings, DemoOptions(source is Source.LIVE, recorded, again=once))
    code = 0
    with StartView(console) as view:
        platform.up(view.show)
    try:
        if watch:
            try:
                code = watch_first_batch(console, load_stores(), platform.ingesting)
            except UserError as error:
                if once:
                    raise
                console.print(str(error), markup=False)
        print_wide(console, build_addresses_table(map(asdict, platform.addresses())))
        if not once:
            console.print("Everything runs; Ctrl-C stops it.")
            platform.wait()
    except KeyboardInterrupt:
        console.print("Stopping.")
    finally:
        platform.down()
    raise typer.Exit(code if once else 0)
