"""The check: every hop against one snapshot of PostgreSQL."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg2
from confluent_kafka import KafkaException
from psycopg2.extensions import cursor as PgCursor

from insights.clients import connections
from insights.errors import UserError
from insights.ledger import counts, events, table_digests
from insights.ledger.digest import ImageProtocol
from insights.ledger.flow_state import PATIENCE, FlowState, measure_flow_state, read_stream_offsets
from insights.ledger.hops import Hop, Ledger, LedgerState
from insights.ledger.in_flight import InFlightRows
from insights.ledger.topic import RawTopic
from insights.ledger.totals import FlowTotals, read_flow_totals
from insights.settings import StoreSettings

_POLL_SECONDS = 0.5
_APPLICATION = "ledger"


def check_ledger(stores: StoreSettings, wait_seconds: float = 0) -> Ledger:
    """Compare every store with the one before it, by record. Writes nothing in any of them.

    `wait_seconds`: how long to wait first for records in flight, 0 for a look at this instant.

    Raises:
        UserError: a store cannot be reached or read.
    """
    with _readable(), closing(RawTopic(stores.kafka)) as topic:
        if wait_seconds > 0:
            _wait_until_idle(stores, topic, wait_seconds)
        started, checked_at = time.monotonic(), datetime.now(UTC)
        hops = tuple(_hops(stores, topic))
        return Ledger(hops, checked_at, time.monotonic() - started)


def measure_flow(stores: StoreSettings) -> FlowState:
    """What is in flight now.

    Raises:
        UserError: a store cannot be reached or read.
    """
    with _readable(), closing(RawTopic(stores.kafka)) as topic:
        return _flow(stores, topic)


def find_stall(stores: StoreSettings, seconds: float) -> FlowState | None:
    """What waits, when messages or a batch wait and the stream moves nothing for `seconds`; None when it moves or has
    no work. Of a batch that is overdue the check tells whether anything of it is missing.

    Raises:
        UserError: a store cannot be reached or read.
    """
    before, deadline = measure_flow(stores), time.monotonic() + seconds
    while True:
        now = measure_flow(stores)
        moves = now.last_batch != before.last_batch or now.unserved < before.unserved
        if moves or not (now.unread or now.unserved > now.overdue):
            return None
        if time.monotonic() > deadline:
            return now
        time.sleep(_POLL_SECONDS)


def read_totals(stores: StoreSettings) -> FlowTotals:
    """Running totals of every hop.

    Raises:
        UserError: a store cannot be reached or read.
    """
    with _readable(), closing(RawTopic(stores.kafka)) as topic, _cursor(stores) as cursor:
        return read_flow_totals(cursor, stores.kafka.raw_topic, topic.watermarks())


def _hops(stores: StoreSettings, topic: RawTopic) -> Iterator[Hop]:
    name = stores.kafka.raw_topic
    with (
        closing(connections.connect_postgres(stores.postgres, _APPLICATION)) as connection,
        connection.cursor() as cursor,
    ):
        connection.autocommit = True
        cursor.execute(events.SCRATCH)
        connection.autocommit = False
        early = topic.watermarks()
        connection.set_session(isolation_level="REPEATABLE READ", readonly=True)
        until = read_stream_offsets(cursor, name)
        span = topic.watermarks()
        now = measure_flow_state(cursor, name, span)
        events.load_events(cursor, name, topic.events(span), early, until)
        yield events.check_fetched(cursor)
        yield events.check_staged(cursor)
        yield events.check_published(cursor)
        yield events.check_served(cursor, pruned=any(low > 0 for low, _ in span.values()))
        yield from _cassandra_hops(stores, cursor, now)


def _cassandra_hops(stores: StoreSettings, cursor: PgCursor, snapshot: FlowState) -> Iterator[Hop]:
    kept = counts.read_kept_counts(cursor)
    yield counts.compare_counts("user_counts", "PostgreSQL user_counts = recount", counts.recount_users(cursor), kept)
    with connections.open_cassandra(stores.cassandra) as session:
        counted = counts.read_cassandra_counts(session)
        session.client_protocol_handler = ImageProtocol
        with ThreadPoolExecutor(1) as beside:
            found = {
                table: beside.submit(table_digests.digest_cassandra, session, table) for table in table_digests.TABLES
            }
            expected = {table: table_digests.digest_postgres(cursor, table) for table in table_digests.TABLES}
            digests = {table: (expected[table], found[table].result()) for table in table_digests.TABLES}
        late = InFlightRows(cursor, snapshot, lambda: _cursor(stores))
        for table, (left, right) in digests.items():
            yield _explained(table_digests.compare_table(cursor, session, table, left, right, late), snapshot)
        equation = "Cassandra user_counts = PostgreSQL"
        yield _explained(
            counts.compare_counts("user_counts in Cassandra", equation, kept, counted, late.counts()), snapshot
        )


def _explained(hop: Hop, snapshot: FlowState) -> Hop:
    if hop.state is not LedgerState.BROKEN or not snapshot.overdue:
        return hop
    minutes = PATIENCE // timedelta(minutes=1)
    why = f"{snapshot.overdue:,} merged batches have waited for Cassandra for over {minutes} minutes; see the stream."
    return replace(hop, sentence=f"{hop.sentence} {why}")


def _flow(stores: StoreSettings, topic: RawTopic) -> FlowState:
    with _cursor(stores) as cursor:
        return measure_flow_state(cursor, stores.kafka.raw_topic, topic.watermarks())


def _wait_until_idle(stores: StoreSettings, topic: RawTopic, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not _flow(stores, topic).idle and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)


@contextmanager
def _cursor(stores: StoreSettings) -> Iterator[Any]:
    with (
        closing(connections.connect_postgres(stores.postgres, _APPLICATION)) as connection,
        connection.cursor() as cursor,
    ):
        yield cursor


@contextmanager
def _readable() -> Iterator[None]:
    try:
        yield
    except psycopg2.Error as error:
        told = str(error).strip().splitlines()[0]
        raise UserError(f"PostgreSQL cannot be counted ({told}); run `insights migrate` and check again.") from error
    except connections.CASSANDRA_ERRORS as error:
        raise UserError(f"Cassandra cannot be counted ({error}); check that it runs, and check again.") from error
    except KafkaException as error:
        raise UserError(f"Kafka cannot be counted ({error.args[0].str()}); check that it runs.") from error
