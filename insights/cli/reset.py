"""`insights reset`: delete the platform's data."""

from typing import Annotated

import typer

from insights.cli.app import app, console
from insights.settings import LocalSettings, load


@app.command()
def reset(yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")] = False) -> None:
    """Delete every record, topic, table, log and password of this state directory's platform, after confirmation."""
    from insights.local import home

    path = load(LocalSettings).home.resolve()
    if not yes and not typer.confirm(f"Delete everything in {path}?"):
        raise typer.Exit(1)
    home.delete_home(path)
    console.print(f"{path} was deleted.")
