"""What is shown to people as tables."""

from collections.abc import Iterable, Mapping
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from insights.ledger.hops import Ledger, LedgerState
from insights.ledger.totals import FlowTotals

_COLOURS = {LedgerState.CLOSED: "green", LedgerState.IN_FLIGHT: "yellow", LedgerState.BROKEN: "red"}
_WIDTH = 120
_WORDS = {LedgerState.CLOSED: "closed", LedgerState.IN_FLIGHT: "in flight", LedgerState.BROKEN: "broken"}


def build_ledger_table(ledger: Ledger) -> Table:
    """The ledger, a hop a row."""
    table = Table(
        title=f"Ledger {_WORDS[ledger.state]} ({ledger.seconds:.1f} s)",
        title_style=_COLOURS[ledger.state],
        box=box.SIMPLE_HEAD,
    )
    table.add_column("hop", no_wrap=True)
    for heading, justify in (("left", "right"), ("right", "right"), ("on the way", "right")):
        table.add_column(heading, justify=justify)  # type: ignore[arg-type]
    table.add_column("state")
    for hop in ledger.hops:
        table.add_row(
            hop.equation,
            f"{hop.left:,}",
            f"{hop.right:,}",
            f"{hop.pending:,}" if hop.pending else "",
            f"[{_COLOURS[hop.state]}]{_WORDS[hop.state]}[/]",
        )
    return table


def build_addresses_table(addresses: Iterable[Mapping[str, Any]]) -> Table:
    """Where every server is and how to log in."""
    table = Table(title="Addresses and logins", box=box.SIMPLE_HEAD)
    for heading in ("what", "where", "database", "user", "password", "state"):
        table.add_column(heading, no_wrap=True)
    for address in addresses:
        where = address["url"] or f"{address['host']}:{address['port']}"
        cells = (where, *(address[name] for name in ("database", "user", "password")), address.get("state", ""))
        table.add_row(address["name"], *map(Text, cells))
    return table


def print_wide(console: Console, table: Table) -> None:
    """Print the table without shortening a cell, which may have to be copied."""
    wide = Console(file=console.file, width=max(console.width, _WIDTH), force_terminal=console.is_terminal)
    wide.print(table, soft_wrap=False)


def format_totals(progress: FlowTotals) -> str:
    """The counts of every hop in one line."""
    return " > ".join(f"{count:,} {name}" for name, count in progress.counts().items())
