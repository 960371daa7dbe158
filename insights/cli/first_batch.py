"""The first batch on its way: counts per hop until the ledger closes."""

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

PATIENCE_SECONDS = 300.0
"""Without any new count for so long, the flow is stuck."""
_POLL_SECONDS = 1.0


def watch_first_batch(console: Console, stores: StoreSettings, ingesting: Callable[[], bool]) -> int:
    """Show the counts until the ingest has ended and all it fetched has landed, then the ledger.

    Returns the exit code: 0 when the ledger closes.

    Raises:
        UserError: the ingest failed.
    """
    closed = _landed(console, stores, ingesting)
    if closed is None:
        console.print("No page was fetched: look at the DAG ingest_users on Airflow's page.")
        return 1
    print_wide(console, build_ledger_table(closed))
    for hop in closed.open_hops():
        console.print(f"The ledger does not close at {hop.name}: {hop.sentence}", markup=False)
    return 0 if closed.closed else 1


def _landed(console: Console, stores: StoreSettings, ingesting: Callable[[], bool]) -> Ledger | None:
    """The ledger when nothing is in flight any more, or when nothing has moved for long."""
    moved, last = time.monotonic(), None
    with _showing(console) as show:
        while True:
            busy = ingesting()
            stuck = time.monotonic() - moved > PATIENCE_SECONDS
            # A server that is being restarted is out of reach for a while.
            with nullcontext() if stuck else suppress(UserError):
                now = ledger_check.read_totals(stores)
                if now != last:
                    moved = time.monotonic()
                    if last is None or now.counts() != last.counts():
                        show(now)
                    last = now
                if now.fetched and (stuck or (now.idle and not busy)):
                    result = ledger_check.check_ledger(stores)
                    if stuck or result.state is not LedgerState.IN_FLIGHT:
                        return result
                elif stuck:
                    return None
            time.sleep(_POLL_SECONDS)


class _Show:
    def __init__(self, console: Console, status: Status | None) -> None:
        self._console, self._status = console, status

    def __call__(self, progress: FlowTotals) -> None:
        if self._status:
            self._status.update(format_totals(progress))
        else:
            self._console.print(format_totals(progress))


@contextmanager
def _showing(console: Console) -> Iterator[_Show]:
    """A line that changes on a terminal, a line for each change in a log."""
    if not console.is_terminal:
        yield _Show(console, None)
        return
    with console.status("waiting for the first page") as status:
        yield _Show(console, status)
