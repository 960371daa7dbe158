"""The command line, `insights COMMAND`. Each command has a module, which is imported here to register it."""

from insights.cli import check, demo, down, migrate, recount, redrive, replay, reset, skip_lost, status
from insights.cli.app import app

__all__ = ["app", "check", "demo", "down", "migrate", "recount", "redrive", "replay", "reset", "skip_lost", "status"]
