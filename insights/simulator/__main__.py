"""`python -m insights.simulator`: serve until interrupted; the first line printed is the address."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from insights.errors import UserError
from insights.simulator.app import create_app
from insights.simulator.faults import FaultRates, parse_rates
from insights.simulator.recorded import load
from insights.simulator.server import bind, serve


def main(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 for a free one.")] = 8084,
    recorded: Annotated[Path | None, typer.Option(help="Folder of recorded answers to serve instead.")] = None,
    fault_rate: Annotated[str, typer.Option(help="Faults by rate, as in 429=0.1,503=0.05.")] = "",
    fault_seed: Annotated[int, typer.Option(help="Makes the sequence of faults repeatable.")] = 0,
) -> None:
    """Answer like the Random User API."""
    try:
        app = create_app(load(recorded) if recorded else None, FaultRates(parse_rates(fault_rate), fault_seed))
        listener = bind(host, port)
    except UserError as mistake:
        print(mistake, file=sys.stderr)
        raise typer.Exit(2) from None
    address = listener.getsockname()
    print(f"Random User API simulator on http://{address[0]}:{address[1]}/api/", flush=True)
    serve(app, listener)


if __name__ == "__main__":
    typer.run(main)
