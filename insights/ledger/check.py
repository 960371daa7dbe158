"""Check the ledger: compare every hop against one snapshot of PostgreSQL."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import psycopg2
from confluent_kafka import KafkaException
from psycopg2.extensions import cursor as PgCursor

from insights.clients import connections, kafka_admin
from insights.clients.stream_position import Watermarks, count_recorded_losses, find_lost, read_topic_state
from insights.errors import UserError
from insights.ledger import arrivals, contents, counts, events, table_digests
from insights.ledger.digest import ImageProtocol
from insights.ledger.flow_state import OVERDUE_AFTER, FlowState, measure_flow_state
from insights.ledger.hops import Hop, Ledger, LedgerState
from insights.ledger.in_flight import InFlightRows
from insights.ledger.reading import check_read
from insights.ledger.topic import RawTopic
from insights.ledger.totals import FlowTotals, read_flow_totals
from insights.settings import KafkaSettings, StoreSettings
from insights.text import format_count

_POLL_SECONDS = 0.5
_APPLICATION = "ledger"


def check_ledger(stores: StoreSettings, wait_seconds: float = 0) -> Ledger:
    """Compare every store with the one before it, record by record. Writes to none of them.

    `wait_seconds`: how long to wait first until nothing is in flight; 0 checks at once.

    Raises:
        UserError: a store cannot be reached or read.
    """
    with _explain_errors(stores.kafka):
        if wait_seconds > 0:
            _wait_until_idle(stores, wait_seconds)
        started, checked_at = time.monotonic(), datetime.now(UTC)
        hops = tuple(_check_hops(stores))
        return Ledger(hops, checked_at, time.monotonic() - started)


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
    with _explain_errors(stores.kafka), _open_cursor(stores) as cursor:
        return read_flow_totals(cursor, stores.kafka.raw_topic, _read_watermarks(stores))


def _check_hops(stores: StoreSettings) -> Iterator[Hop]:
    topic_name = stores.kafka.raw_topic
    with (
        closing(connections.connect_postgres(stores.postgres, _APPLICATION)) as connection,
        connection.cursor() as cursor,
    ):
        connection.autocommit = True
        cursor.execute(events.CREATE_SCRATCH_TABLES)
        connection.autocommit = False
        watermarks_before = _read_watermarks(stores)
        connection.set_session(isolation_level="REPEATABLE READ", readonly=True)
        position, topic_id, watermarks = read_topic_state(cursor, stores.kafka)
        flow = measure_flow_state(cursor, topic_name, watermarks)
        lost = find_lost(topic_name, position, topic_id, watermarks)
        stream_offsets = {} if lost.recreated else position.offsets
        with closing(RawTopic(stores.kafka)) as topic:
            events.load_events(cursor, topic_name, topic.events(watermarks), watermarks_before, stream_offsets)
        yield events.check_fetched(cursor)
        yield events.check_staged(cursor)
        yield events.check_published(cursor)
        yield check_read(watermarks, stream_offsets, lost, count_recorded_losses(cursor, topic_name, topic_id))
        yield events.check_served(cursor, pruned=any(low > 0 for low, _ in watermarks.values()))
        yield contents.check_batches(cursor)
        yield contents.check_quarantine(cursor)
        yield from _check_aggregates(stores, cursor, flow)


def _check_aggregates(stores: StoreSettings, cursor: PgCursor, flow: FlowState) -> Iterator[Hop]:
    kept_counts = counts.read_kept_counts(cursor)
    exact_counts = counts.recount_users(cursor)
    yield counts.compare_counts("user_counts", "PostgreSQL user_counts = recount", exact_counts, kept_counts)
    with connections.open_cassandra(stores.cassandra) as session:
        cassandra_counts = counts.read_cassandra_counts(session)
        session.client_protocol_handler = ImageProtocol
        tables = table_digests.TABLES
        with ThreadPoolExecutor(1) as executor:
            futures = {table: executor.submit(table_digests.digest_cassandra, session, table) for table in tables}
            expected = {table: table_digests.digest_postgres(cursor, table) for table in tables}
            digests = {table: (expected[table], futures[table].result()) for table in tables}
        yield contents.check_users(cursor, expected["users_by_id"])
        in_flight = InFlightRows(cursor, flow.last_batch, lambda: _open_cursor(stores))
        for table, (left, right) in digests.items():
            yield _mention_overdue(table_digests.compare_table(cursor, session, table, left, right, in_flight), flow)
        yield _mention_overdue(arrivals.check_arrivals(cursor, session, in_flight), flow)
        equation = "Cassandra user_counts = PostgreSQL"
        yield _mention_overdue(
            counts.compare_counts(
                "user_counts in Cassandra", equation, kept_counts, cassandra_counts, in_flight.list_counts()
            ),
            flow,
        )


def _mention_overdue(hop: Hop, flow: FlowState) -> Hop:
    """Add to the sentence of a broken hop that batches are overdue."""
    if hop.state is not LedgerState.BROKEN or not flow.overdue:
        return hop
    batches = format_count(flow.overdue, "merged batch has", "merged batches have")
    minutes = OVERDUE_AFTER // timedelta(minutes=1)
    overdue = f"{batches} waited for Cassandra for over {minutes} minutes; check the stream and its log."
    return replace(hop, sentence=f"{hop.sentence} {overdue}")


def _read_watermarks(stores: StoreSettings) -> Watermarks:
    return kafka_admin.read_watermarks(kafka_admin.get_admin(stores.kafka), stores.kafka.raw_topic)


def _measure_flow(stores: StoreSettings) -> FlowState:
    with _open_cursor(stores) as cursor:
        return measure_flow_state(cursor, stores.kafka.raw_topic, _read_watermarks(stores))


def _wait_until_idle(stores: StoreSettings, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not _measure_flow(stores).idle and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)


@contextmanager
def _open_cursor(stores: StoreSettings) -> Iterator[PgCursor]:
    with (
        closing(connections.connect_postgres(stores.postgres, _APPLICATION)) as connection,
        connection.cursor() as cursor,
    ):
        yield cursor


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
