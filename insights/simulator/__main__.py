"""`python -m insights.simulator`: serve until interrupted. The first line of output ends with the address."""

from pathlib import Path
from typing import Annotated

import typer

from insights.errors import UserError, print_error
from insights.simulator.app import create_app
from insights.simulator.faults import FaultRates, parse_rates
from insights.simulator.quota import parse_quota
from insights.simulator.recorded import load_recording
from insights.simulator.server import bind, serve


def main(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 for any free port.")] = 8084,
    recorded: Annotated[
        Path | None, typer.Option(help="Folder of recorded responses to serve instead of generated people.")
    ] = None,
    fault_rate: Annotated[str, typer.Option(help="Fault rates, as in 429=0.1,503=0.05.")] = "",
    fault_seed: Annotated[int, typer.Option(help="Seed of the sequence of faults.")] = 0,
    quota: Annotated[
        str, typer.Option(help="Rows per address and seconds, then 429 until the period ends; the API's is 20000/300.")
    ] = "",
) -> None:
    """Simulate the Random User API."""
    try:
        app = create_app(
            load_recording(recorded) if recorded else None,
            FaultRates(parse_rates(fault_rate), fault_seed),
            parse_quota(quota) if quota else None,
        )
        listener = bind(host, port)
    except UserError as error:
        print_error(error)
        raise typer.Exit(2) from None
    address = listener.getsockname()
    print(f"Random User API simulator on http://{address[0]}:{address[1]}/api/", flush=True)
    serve(app, listener)


if __name__ == "__main__":
    typer.run(main)
