"""`insights down`: stop a platform that is running in another terminal."""

from insights.cli.app import app, console
from insights.settings import LocalSettings, load


@app.command()
def down() -> None:
    """Stop the platform that is running from this state directory. Its data is kept."""
    from insights.local.home import stop_running

    settings = load(LocalSettings)
    home = settings.home
    console.print("Stopped." if stop_running(home, settings.patience_seconds) else f"No platform runs from {home}.")
