"""The tables and lines that several commands print."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from insights.ledger.hops import Ledger, LedgerState
from insights.ledger.totals import FlowTotals

_COLOURS = {LedgerState.CLOSED: "green", LedgerState.IN_FLIGHT: "yellow", LedgerState.BROKEN: "red"}
_WIDTH, _MAX_WIDTH = 120, 10_000
_ADDRESS_HEADINGS = ("address", "database", "user", "password", "state")
_LABELS = {LedgerState.CLOSED: "closed", LedgerState.IN_FLIGHT: "in flight", LedgerState.BROKEN: "broken"}


def build_ledger_table(ledger: Ledger) -> Table:
    """The ledger with a row per hop."""
    table = Table(
        title=f"Ledger {_LABELS[ledger.state]} ({ledger.scope} check, {ledger.seconds:.1f} s)",
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
    for heading in ("server", *_ADDRESS_HEADINGS):
        table.add_column(heading, no_wrap=True)
    for address in addresses:
        cells = dict(list_cells(address))
        table.add_row(address["name"], *(Text(cells.get(heading, "")) for heading in _ADDRESS_HEADINGS))
    return table


def print_addresses(console: Console, addresses: Sequence[Mapping[str, Any]]) -> None:
    """Print the addresses so that each can be read and copied: as a table if it fits the width, else as a list."""
    table = build_addresses_table(addresses)
    width = console.width if console.is_terminal else max(console.width, _WIDTH)
    if Measurement.get(console, console.options.update(width=_MAX_WIDTH), table).maximum <= width:
        print_wide(console, table)
        return
    console.print("Addresses and logins")
    for address in addresses:
        console.print(f"\n{address['name']}", markup=False)
        for heading, value in list_cells(address):
            # The terminal wraps a long value itself, so that it is copied in one piece.
            console.print(f"  {heading:<9} {value}", markup=False, soft_wrap=True)


def list_cells(address: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The headings and values of a server's address, without those that do not apply to it."""
    location = address["url"] or f"{address['host']}:{address['port']}"
    values = {**address, "address": location}
    return [(heading, values[heading]) for heading in _ADDRESS_HEADINGS if values.get(heading)]


def print_wide(console: Console, table: Table) -> None:
    """Print a table without truncating its cells, so that they can be copied."""
    wide = Console(file=console.file, width=max(console.width, _WIDTH), force_terminal=console.is_terminal)
    wide.print(table, soft_wrap=False)


def format_totals(totals: FlowTotals) -> str:
    """The totals of every hop in one line."""
    return " > ".join(f"{count:,} {name}" for name, count in totals.counts().items())
