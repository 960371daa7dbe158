"""`insights skip-lost`: let the stream go on behind messages that nobody can read any more."""

from typing import Annotated

import typer

from insights.cli.app import app, console, load_stores
from insights.repair.skip_lost import find_lost_messages, skip_lost_messages


@app.command()
def skip_lost(yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")] = False) -> None:
    """Record the loss of messages that left the raw topic before the stream read them, after confirmation.

    The stream then goes on behind them, and the ledger keeps the loss. `insights replay` brings back what staging has.
    """
    stores = load_stores()
    lost = find_lost_messages(stores.kafka, stores.postgres)
    if not lost:
        console.print("No message was lost before the stream read it; there is nothing to skip.")
        return
    console.print(f"{lost.sentence()}.", markup=False)
    if not yes and not typer.confirm("Record the loss, and let the stream go on?"):
        raise typer.Exit(1)
    skip_lost_messages(stores.kafka, stores.postgres)
    console.print(
        "The loss is recorded. The stream goes on when it starts next; `insights check --wait 60` then names the staged"
        " records that no sink has, and `insights replay` publishes those of a period again."
    )
