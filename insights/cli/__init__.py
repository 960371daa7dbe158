"""The command line: `insights <verb>`. One module a verb, registered here."""

from insights.cli import check, demo, down, migrate, recount, redrive, replay, reset, status
from insights.cli.app import app

__all__ = ["app", "check", "demo", "down", "migrate", "recount", "redrive", "replay", "reset", "status"]
