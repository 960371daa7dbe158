"""The full check: compare every record of every hop against one snapshot of PostgreSQL, and name those that differ.

Cassandra is read by a second thread while this one reads the topic and PostgreSQL compares: both cores are in use.
"""

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from datetime import timedelta

from cassandra.cluster import Session
from psycopg2.extensions import connection as PgConnection
from psycopg2.extensions import cursor as PgCursor

from insights.clients import connections
from insights.clients.cassandra_restores import find_restored_seq
from insights.clients.layouts import has_foreign_deliveries
from insights.clients.refill_record import is_being_filled
from insights.clients.sql import fetch_row
from insights.clients.stream_position import TopicState, Watermarks, count_recorded_losses, find_lost, read_topic_state
from insights.ledger import arrivals, contents, count_digests, counts, events, record_ranges, table_digests, verified
from insights.ledger.digest import ImageProtocol
from insights.ledger.flow_state import OVERDUE_AFTER, FlowState, measure_flow_state
from insights.ledger.hops import Hop, LedgerState
from insights.ledger.in_flight import InFlightRows
from insights.ledger.reading import check_read
from insights.ledger.scratch_tables import CREATE_SCRATCH_TABLES
from insights.ledger.stores import APPLICATION, open_cursor, read_watermarks
from insights.ledger.table_digests import TableDigest
from insights.ledger.topic import RawTopic, TopicEvent
from insights.settings import StoreSettings
from insights.text import format_count

_WORK_MEMORY = "64MB"
"""For each step that compares sets: those of a million records then need no file, or few."""
_REPORTED_ROWS = 20_000
Progress = Callable[[str], None]
"""Called with what the check does now, from any of its threads."""


def check_everything(stores: StoreSettings, progress: Progress = lambda _: None) -> tuple[Hop, ...]:
    """The hops of a full check. What it verifies is recorded, if this login may do so."""
    with (
        closing(connections.connect_postgres(stores.postgres, APPLICATION)) as connection,
        connection.cursor() as cursor,
        connections.open_cassandra(stores.cassandra) as session,
        ThreadPoolExecutor(1) as executor,
    ):
        connection.autocommit = True
        cursor.execute(f"SET work_mem = '{_WORK_MEMORY}'; {CREATE_SCRATCH_TABLES}")
        connection.autocommit = False
        before = read_watermarks(stores)
        connection.set_session(isolation_level="REPEATABLE READ", readonly=True)
        check = _FullCheck(stores, cursor, session, progress)
        hops = check.run(before, executor)
        if verified.can_record(cursor):
            check.record(connection, hops)
        return hops


class _FullCheck:
    """One check. The snapshot is taken when it is made; Cassandra is read after that."""

    def __init__(self, stores: StoreSettings, cursor: PgCursor, session: Session, progress: Progress) -> None:
        self._stores, self._cursor, self._session, self._progress = stores, cursor, session, progress
        self._topic = stores.kafka.raw_topic
        self._state: TopicState = read_topic_state(cursor, stores.kafka)
        self._flow = measure_flow_state(cursor, self._topic, self._state.watermarks)
        cursor.execute("SELECT now()")
        (self._taken_at,) = fetch_row(cursor)
        self._conditions = verified.describe_conditions(cursor, session, self._topic, self._state.topic_id)
        self._refilling = (
            is_being_filled(session) or has_foreign_deliveries(cursor) or find_restored_seq(cursor, session) is not None
        )
        self._cassandra_counts = counts.read_cassandra_counts(session)
        session.client_protocol_handler = ImageProtocol

    def run(self, watermarks_before: Watermarks, executor: ThreadPoolExecutor) -> tuple[Hop, ...]:
        """Compare every hop."""
        futures = {table: executor.submit(self._digest_cassandra, table) for table in table_digests.TABLES}
        return (*self._check_records(watermarks_before), *self._check_contents(), *self._check_tables(futures))

    def record(self, connection: PgConnection, hops: tuple[Hop, ...]) -> None:
        """Record what is verified now, or forget what was verified before: if a hop is broken, or during a refill."""
        unverified = self._refilling or any(hop.state is LedgerState.BROKEN for hop in hops)
        if not unverified:
            self._progress("recording what is verified")
            record_ranges.fill_settled_ranges(self._cursor)
        former = verified.read_verified(self._cursor, self._conditions)
        seq = verified.read_delivered_seq(self._cursor)
        connection.commit()
        connection.set_session(isolation_level="READ COMMITTED", readonly=False)
        if unverified:
            verified.forget_verified(connection)
            return
        ends = {
            partition: min(high, self._state.position.offsets.get(partition, 0))
            for partition, (_, high) in self._state.watermarks.items()
        }
        walks = former.walks if former else {}
        state = verified.Verified(seq, ends, self._taken_at, self._taken_at, walks)
        statements = record_ranges.RECORD_ALL + count_digests.RECORD_ALL
        verified.replace_verified(connection, self._conditions, state, None, statements)

    def _check_records(self, watermarks_before: Watermarks) -> Iterator[Hop]:
        cursor, (position, topic_id, watermarks) = self._cursor, self._state
        lost = find_lost(self._topic, position, topic_id, watermarks)
        stream_offsets = {} if lost.recreated else position.offsets
        with closing(RawTopic(self._stores.kafka)) as topic:
            messages = self._count_messages(topic.events(watermarks), watermarks)
            events.load_messages(cursor, messages, watermarks_before, stream_offsets)
        self._progress("comparing records")
        events.load_events(cursor, self._topic)
        yield events.check_fetched(cursor)
        yield events.check_staged(cursor)
        yield events.check_published(cursor)
        yield check_read(watermarks, stream_offsets, lost, count_recorded_losses(cursor, self._topic, topic_id))
        yield events.check_served(cursor, pruned=any(low > 0 for low, _ in watermarks.values()))

    def _count_messages(self, messages: Iterator[TopicEvent], watermarks: Watermarks) -> Iterator[TopicEvent]:
        total = sum(high - low for low, high in watermarks.values())
        for number, message in enumerate(messages):
            if number % _REPORTED_ROWS == 0:
                self._progress(f"reading the topic: {number:,} of {total:,} messages")
            yield message

    def _check_contents(self) -> Iterator[Hop]:
        yield contents.check_batches(self._cursor)
        yield contents.check_quarantine(self._cursor)

    def _check_tables(self, futures: Mapping[str, Future[TableDigest]]) -> Iterator[Hop]:
        cursor, session, flow = self._cursor, self._session, self._flow
        self._progress("counting users")
        kept_counts = counts.read_kept_counts(cursor)
        exact_counts = counts.recount_users(cursor)
        yield counts.compare_counts("user_counts", "PostgreSQL user_counts = recount", exact_counts, kept_counts)
        count_digests.fill_buckets(cursor)
        self._progress("computing digests in PostgreSQL")
        expected = {table: table_digests.digest_postgres(cursor, table) for table in table_digests.TABLES}
        yield contents.check_users(cursor, expected[table_digests.PROFILES])
        digests = {table: future.result() for table, future in futures.items()}
        self._progress("comparing the tables of both stores")
        in_flight = InFlightRows(cursor, flow.last_batch, lambda: open_cursor(self._stores), refilling=self._refilling)
        for table, right in digests.items():
            hop = table_digests.compare_table(cursor, session, table, expected[table], right, in_flight)
            yield _mention_overdue(hop, flow)
        yield _mention_overdue(arrivals.check_arrivals(cursor, session, in_flight), flow)
        equation = "Cassandra user_counts = PostgreSQL"
        in_flight_counts = in_flight.list_counts()
        yield _mention_overdue(
            counts.compare_counts(
                "user_counts in Cassandra", equation, kept_counts, self._cassandra_counts, in_flight_counts
            ),
            flow,
        )

    def _digest_cassandra(self, table: str) -> TableDigest:
        self._progress(f"reading {table}")
        return table_digests.digest_cassandra(self._session, table)


def _mention_overdue(hop: Hop, flow: FlowState) -> Hop:
    """Add to the sentence of a broken hop that batches are overdue."""
    if hop.state is not LedgerState.BROKEN or not flow.overdue:
        return hop
    batches = format_count(flow.overdue, "merged batch has", "merged batches have")
    minutes = OVERDUE_AFTER // timedelta(minutes=1)
    overdue = f"{batches} waited for Cassandra for over {minutes} minutes; check the stream and its log."
    return replace(hop, sentence=f"{hop.sentence} {overdue}")
