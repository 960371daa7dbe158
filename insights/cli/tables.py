"""The tables and lines that several commands print."""

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
_LABELS = {LedgerState.CLOSED: "closed", LedgerState.IN_FLIGHT: "in flight", LedgerState.BROKEN: "broken"}


def build_ledger_table(ledger: Ledger) -> Table:
    """The ledger with a row per hop."""
    table = Table(
        title=f"Ledger {_LABELS[ledger.state]} ({ledger.seconds:.1f} s)",
        title_style=_COLOURS[ledger.state],
        box=box.SIMPLE_HEAD,
    )
    table.add_column("hop", no_wrap=True)
    for heading, justify in (("left", "right"), ("right", "right"), ("in flight", "right")):
        table.add_column(heading, justify=justify)  # type: ignore[arg-type]
    table.add_column("state")
    for hop in ledger.hops:
        table.add_row(
            hop.equation,
            f"{hop.left:,}",
            f"{hop.right:,}",
            f"{hop.pending:,}" if hop.pending else "",
            f"[{_COLOURS[hop.state]}]{_LABELS[hop.state]}[/]",
        )
    return table


def build_addresses_table(addresses: Iterable[Mapping[str, Any]]) -> Table:
    """The servers' addresses and logins, with a row per server; the keys are the fields of `Address` and `state`."""
    table = Table(title="Addresses and logins", box=box.SIMPLE_HEAD)
    for heading in ("server", "address", "database", "user", "password", "state"):
        table.add_column(heading, no_wrap=True)
    for address in addresses:
        location = address["url"] or f"{address['host']}:{address['port']}"
        cells = (location, *(address[name] for name in ("database", "user", "password")), address.get("state", ""))
        table.add_row(address["name"], *map(Text, cells))
    return table


def print_wide(console: Console, table: Table) -> None:
    """Print a table without truncating its cells, so that they can be copied."""
    wide = Console(file=console.file, width=max(console.width, _WIDTH), force_terminal=console.is_terminal)
    wide.print(table, soft_wrap=False)


def format_totals(totals: FlowTotals) -> str:
    """The totals of every hop in one line."""
    return " > ".join(f"{count:,} {name}" for name, count in totals.counts().items())
