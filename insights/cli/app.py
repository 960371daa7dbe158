"""What the verbs share: the application, its errors, and where they find the platform."""

import sys
from typing import Any

import typer
from rich.console import Console
from typer.core import TyperGroup

from insights.errors import UserError, print_error
from insights.settings import (
    CassandraSettings,
    KafkaSettings,
    LocalSettings,
    PostgresSettings,
    StoreSettings,
    adopt_environment,
    load,
)

console = Console(highlight=False, emoji=False, soft_wrap=not sys.stdout.isatty())


class _Group(TyperGroup):
    """Ends a command by a `UserError` with one line on standard error and exit code 1."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except UserError as error:
            print_error(error)
            raise typer.Exit(1) from None


app = typer.Typer(
    cls=_Group,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="User records from the Random User API to Cassandra and a page, and the proof that none was lost.",
)


def find_platform() -> None:
    """Read the settings of the platform that runs here, where there is one, below the environment's own."""
    from insights.local.home import DESCRIPTION, read_description

    home = load(LocalSettings).home
    if (home / DESCRIPTION).exists():
        adopt_environment(read_description(home)["environment"])


def load_stores() -> StoreSettings:
    """The stores of the platform that runs here, or that the environment names."""
    find_platform()
    return StoreSettings(load(PostgresSettings), load(KafkaSettings), load(CassandraSettings))
