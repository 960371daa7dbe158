"""Follow the first batch: show the counts of every hop until the ledger closes."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress

from rich.console import Console
from rich.status import Status

from insights.cli.tables import build_ledger_table, format_totals, print_wide
from insights.errors import UserError
from insights.ledger import check as ledger_check
from insights.ledger.hops import Ledger, LedgerState
from insights.ledger.totals import FlowTotals
from insights.settings import StoreSettings

_POLL_SECONDS = 1.0


def watch_first_batch(
    console: Console, stores: StoreSettings, is_ingesting: Callable[[], bool], patience_seconds: float
) -> int:
    """Show the counts until the ingest has ended and its records are delivered, then the ledger.

    The flow is stuck if no count changes for `patience_seconds`. Returns the exit code, 0 if the ledger closes.

    Raises:
        UserError: the ingest failed.
    """
    ledger = _wait_for_delivery(console, stores, is_ingesting, patience_seconds)
    if ledger is None:
        console.print("No page was fetched: check the DAG ingest_users in Airflow.")
        return 1
    print_wide(console, build_ledger_table(ledger))
    for hop in ledger.open_hops():
        console.print(f"The ledger does not close at {hop.name}: {hop.sentence}", markup=False)
    return 0 if ledger.closed else 1


def _wait_for_delivery(
    console: Console, stores: StoreSettings, is_ingesting: Callable[[], bool], patience_seconds: float
) -> Ledger | None:
    """The ledger once nothing is in flight, or once the flow is stuck; None if nothing was fetched."""
    last_change, last = time.monotonic(), None
    with _open_display(console) as show:
        while True:
            ingesting = is_ingesting()
            stuck = time.monotonic() - last_change > patience_seconds
            # A server that is being restarted cannot be reached for a while.
            with nullcontext() if stuck else suppress(UserError):
                totals = ledger_check.read_totals(stores)
                if totals != last:
                    last_change = time.monotonic()
                    if last is None or totals.counts() != last.counts():
                        show(totals)
                    last = totals
                if totals.fetched and (stuck or (totals.idle and not ingesting)):
                    ledger = ledger_check.check_ledger(stores)
                    if stuck or ledger.state is not LedgerState.IN_FLIGHT:
                        return ledger
                elif stuck:
                    return None
            time.sleep(_POLL_SECONDS)


class _Display:
    """Shows totals in a status line, or prints a line for each."""

    def __init__(self, console: Console, status: Status | None) -> None:
        self._console, self._status = console, status

    def __call__(self, totals: FlowTotals) -> None:
        if self._status:
            self._status.update(format_totals(totals))
        else:
            self._console.print(format_totals(totals))


@contextmanager
def _open_display(console: Console) -> Iterator[_Display]:
    """A status line on a terminal, a line for each change elsewhere."""
    if not console.is_terminal:
        yield _Display(console, None)
        return
    with console.status("waiting for the first page") as status:
        yield _Display(console, status)
