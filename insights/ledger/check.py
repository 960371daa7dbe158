"""Check the ledger, in full or incrementally, and measure what is in flight."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import psycopg2
from confluent_kafka import KafkaException

from insights.clients import connections
from insights.errors import UserError
from insights.ledger import incremental
from insights.ledger.flow_state import FlowState, measure_flow_state
from insights.ledger.full import check_everything
from insights.ledger.history import record_check
from insights.ledger.hops import Ledger, LedgerScope
from insights.ledger.stores import open_cursor, read_watermarks
from insights.ledger.totals import FlowTotals, read_flow_totals
from insights.settings import KafkaSettings, StoreSettings

PATIENCE_SECONDS = 300
"""How long a stream may merge nothing before it counts as stalled: one that is being replaced takes a minute or two."""
_POLL_SECONDS = 0.5


def check_ledger(
    stores: StoreSettings,
    wait_seconds: float = 0,
    *,
    full: bool = True,
    progress: Callable[[str], None] = lambda _: None,
) -> Ledger:
    """Compare every store with the one before it, record by record.

    A check that is not full compares what is new since the last check, and the next part of what was verified before.
    It becomes a full one if none was made for a week or anything looks wrong: a ledger that does not close is always
    the result of a full check.

    Writes to no store but `analytics.checks`, `analytics.verified*` and `staging.page_totals`, and there only if this
    login may.

    Args:
        stores: what to compare.
        wait_seconds: how long to wait first until nothing is in flight; 0 checks at once.
        full: whether to compare everything.
        progress: called with what the check is doing, from several threads.

    Raises:
        UserError: a store cannot be reached or read.
    """
    with _explain_errors(stores.kafka):
        _wait_until_idle(stores, wait_seconds)
        started, checked_at = time.monotonic(), datetime.now(UTC)
        hops = None if full else incremental.check_increment(stores)
        scope = LedgerScope.FULL if hops is None else LedgerScope.INCREMENTAL
        hops = check_everything(stores, progress) if hops is None else hops
        ledger = Ledger(hops, checked_at, time.monotonic() - started, scope)
        record_check(stores.postgres, ledger)
        return ledger


def measure_flow(stores: StoreSettings) -> FlowState:
    """Measure what is in flight.

    Raises:
        UserError: a store cannot be reached or read.
    """
    with _explain_errors(stores.kafka):
        return _measure_flow(stores)


def find_stall(stores: StoreSettings, seconds: float) -> FlowState | None:
    """Watch the stream for at most `seconds`. Returns what is in flight if it made no progress, otherwise None.

    A stream without work, or with overdue batches only, is not stalled: `check_ledger` reports what those lack.

    Raises:
        UserError: a store cannot be reached or read.
    """
    before, deadline = measure_flow(stores), time.monotonic() + seconds
    while True:
        current = measure_flow(stores)
        progressed = current.last_batch != before.last_batch or current.undelivered < before.undelivered
        if progressed or not (current.unread or current.undelivered > current.overdue):
            return None
        if time.monotonic() > deadline:
            return current
        time.sleep(_POLL_SECONDS)


def read_totals(stores: StoreSettings) -> FlowTotals:
    """Read the running totals of every hop.

    Raises:
        UserError: a store cannot be reached or read.
    """
    with _explain_errors(stores.kafka), open_cursor(stores) as cursor:
        return read_flow_totals(cursor, stores.kafka.raw_topic, read_watermarks(stores))


def _measure_flow(stores: StoreSettings) -> FlowState:
    with open_cursor(stores) as cursor:
        return measure_flow_state(cursor, stores.kafka.raw_topic, read_watermarks(stores))


def _wait_until_idle(stores: StoreSettings, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and not _measure_flow(stores).idle:
        time.sleep(_POLL_SECONDS)


@contextmanager
def _explain_errors(kafka: KafkaSettings) -> Iterator[None]:
    try:
        yield
    except psycopg2.Error as error:
        reason = str(error).strip().splitlines()[0]
        raise UserError(f"PostgreSQL cannot be read ({reason}); run `insights migrate` and check again.") from error
    except connections.CASSANDRA_ERRORS as error:
        raise UserError(f"Cassandra cannot be read ({error}); make sure that it is running and check again.") from error
    except KafkaException as error:
        raise UserError(
            f"Kafka at {kafka.bootstrap_servers} cannot be read ({error.args[0].str()}); start it or set"
            " INSIGHTS_KAFKA_BOOTSTRAP_SERVERS."
        ) from error
