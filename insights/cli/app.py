"""What the commands share: the application, its handling of errors, and how it finds the platform."""

import sys
from typing import Any

import typer
from rich.console import Console
from typer.core import TyperGroup

from insights import settings
from insights.environment import adopt_environment
from insights.errors import UserError, print_error
from insights.settings import LocalSettings, StoreSettings, load

console = Console(highlight=False, emoji=False, soft_wrap=not sys.stdout.isatty())


class _Group(TyperGroup):
    """Prints a command's `UserError` in one line and exits with code 1."""

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
    help="Move user records from the Random User API to Cassandra and a dashboard, and prove that none was lost.",
)


def adopt_platform() -> None:
    """Adopt the settings of this state directory's platform, if any; variables that are already set take precedence."""
    from insights.local.home import DESCRIPTION, read_description

    home = load(LocalSettings).home
    if (home / DESCRIPTION).exists():
        adopt_environment(read_description(home)["environment"])


def load_stores() -> StoreSettings:
    """The stores of this state directory's platform, or else those that the environment names."""
    adopt_platform()
    return settings.load_stores()
