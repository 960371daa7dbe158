"""`insights check`: compare the stores hop by hop."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from insights.cli.app import app, console, load_stores
from insights.cli.tables import build_ledger_table, print_wide
from insights.errors import UserError, print_error
from insights.ledger import check as ledger_check

_terminal = Console(stderr=True)
"""Progress goes to the standard error stream, so that the output can be redirected."""


@app.command()
def check(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    wait: Annotated[float, typer.Option(min=0, help="Seconds to wait for records in flight.")] = 0,
    full: Annotated[
        bool,
        typer.Option(
            "--full/--incremental",
            help="Compare everything, or what is new since the last check and a part of the rest.",
        ),
    ] = True,
) -> None:
    """Compare every store with the one before it, record by record.

    Exit code 0: the ledger closes. 1: it does not; the hop and the records are named. 2: it could not be checked.
    """
    try:
        with _show_progress() as progress:
            ledger = ledger_check.check_ledger(load_stores(), wait, full=full, progress=progress)
    except UserError as error:
        print_error(error)
        raise typer.Exit(2) from None
    if as_json:
        typer.echo(json.dumps(ledger.as_json(), indent=1))
    else:
        print_wide(console, build_ledger_table(ledger))
        for hop in ledger.open_hops():
            console.print(f"{hop.name}: {hop.sentence}", markup=False)
        for hop in ledger.hops:
            if hop.equal and hop.uncovered:
                console.print(f"{hop.name}: Not covered: {hop.uncovered}.", markup=False)
    raise typer.Exit(0 if ledger.closed else 1)


@contextmanager
def _show_progress() -> Iterator[Callable[[str], None]]:
    """Show on a terminal what the check is doing; elsewhere nothing."""
    if not _terminal.is_terminal:
        yield lambda _: None
        return
    with _terminal.status("starting") as status:
        yield lambda step: status.update(Text(step))
