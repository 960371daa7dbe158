"""The incremental check: what is new since the last check, and the next part of what was verified before.

It looks for anything suspicious and names nothing: the full check does that, on a new snapshot. Its ranges overlap:
what is not certain to be verified for good is new again in the next check.
"""

import logging
from collections.abc import Iterator, Mapping
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from cassandra.cluster import Session
from psycopg2.extensions import connection as PgConnection
from psycopg2.extensions import cursor as PgCursor

from insights.clients import connections
from insights.clients.sql import fetch_row
from insights.clients.stream_position import Watermarks, count_recorded_losses, find_lost, read_topic_state
from insights.ledger import arrivals, count_digests, counts, events, record_ranges, row_walks
from insights.ledger.digest import ImageProtocol
from insights.ledger.flow_state import FlowState, measure_flow_state
from insights.ledger.hops import Hop, LedgerState, evaluate_hop
from insights.ledger.in_flight import InFlightRows
from insights.ledger.merged_rows import MergedRows
from insights.ledger.reading import check_read
from insights.ledger.record_ranges import RecordTail
from insights.ledger.scratch_tables import CREATE_SCRATCH_TABLES
from insights.ledger.stores import APPLICATION, open_cursor, read_watermarks
from insights.ledger.suspicion import Compared, SuspicionError
from insights.ledger.table_digests import TABLES
from insights.ledger.topic_ranges import TopicRanges
from insights.ledger.verified import (
    Verified,
    can_record,
    describe_conditions,
    read_delivered_seq,
    read_verified,
    replace_verified,
)
from insights.settings import StoreSettings
from insights.text import format_count

_log = logging.getLogger(__name__)
FULL_CHECK_EVERY = timedelta(days=7)
_HOPS = ("fetched", "staged", "published", "served", "batches", "quarantine", "users", *TABLES, arrivals.TABLE)
SCRUBBED_BATCHES, SCRUBBED_ARRIVALS = 50, 10_000
"""Batches whose arrivals one check compares again, and the users after whose number it stops."""
# Planned for ranges of a few thousand rows, of whatever size the tables are.
_PLANNER = "SET LOCAL enable_seqscan = off; SET LOCAL jit = off"


class _Snapshot(NamedTuple):
    """What the check reads first; everything else is compared with it."""

    flow: FlowState
    watermarks: Watermarks
    offsets: Mapping[int, int]
    """The end offset of the merged batches, by partition."""
    read: Hop
    taken_at: datetime


def check_increment(stores: StoreSettings) -> tuple[Hop, ...] | None:
    """The hops of an incremental check; None if it is time for a full one, or something is wrong."""
    with (
        closing(connections.connect_postgres(stores.postgres, APPLICATION)) as connection,
        connection.cursor() as cursor,
        connections.open_cassandra(stores.cassandra) as session,
    ):
        connection.autocommit = True
        if not can_record(cursor):
            return None
        cursor.execute(CREATE_SCRATCH_TABLES)
        connection.autocommit = False
        before = read_watermarks(stores)
        connection.set_session(isolation_level="REPEATABLE READ", readonly=True)
        position, topic_id, watermarks = read_topic_state(cursor, stores.kafka)
        conditions = describe_conditions(cursor, session, stores.kafka.raw_topic, topic_id)
        state = read_verified(cursor, conditions)
        if state is None or state.full_at < datetime.now(UTC) - FULL_CHECK_EVERY:
            return None
        topic = stores.kafka.raw_topic
        flow = measure_flow_state(cursor, topic, watermarks)
        lost = find_lost(topic, position, topic_id, watermarks)
        read = check_read(watermarks, position.offsets, lost, count_recorded_losses(cursor, topic, topic_id))
        if read.state is LedgerState.BROKEN:
            return None
        cursor.execute(f"{_PLANNER}; SELECT now()")
        (taken_at,) = fetch_row(cursor)
        snapshot = _Snapshot(flow, watermarks, position.offsets, read, taken_at)
        check = _IncrementalCheck(stores, connection, cursor, session, state, snapshot)
        try:
            hops = check.run(before)
        except SuspicionError as suspicion:
            _log.warning("everything is compared, because %s", suspicion)
            return None
        check.record(conditions)
        return hops


class _IncrementalCheck:
    """One check. `run` raises a `SuspicionError` if anything is wrong; `record` then must not be called."""

    def __init__(
        self,
        stores: StoreSettings,
        connection: PgConnection,
        cursor: PgCursor,
        session: Session,
        state: Verified,
        snapshot: _Snapshot,
    ) -> None:
        self._stores, self._connection, self._cursor, self._session = stores, connection, cursor, session
        self._state, self._snapshot = state, snapshot
        self._compared = {name: Compared() for name in _HOPS}
        self._ranges = record_ranges.read_ranges(cursor)
        self._tail = RecordTail([], False)
        self._ends: Mapping[int, int] = {}
        self._in_flight = InFlightRows(cursor, snapshot.flow.last_batch, lambda: open_cursor(stores))
        self._seq = read_delivered_seq(cursor)

    def run(self, watermarks_before: Watermarks) -> tuple[Hop, ...]:
        """Compare what is new and the next part of what is not.

        Raises:
            SuspicionError: something is wrong.
        """
        self._check_records(watermarks_before)
        kept_counts = self._check_rows()
        cassandra_counts = counts.read_cassandra_counts(self._session)
        self._session.client_protocol_handler = ImageProtocol
        self._check_users()
        self._check_arrivals()
        return tuple(self._build_hops(kept_counts, cassandra_counts))

    def record(self, conditions: str) -> None:
        """Record what is verified now."""
        self._connection.commit()
        self._connection.set_session(isolation_level="READ COMMITTED", readonly=False)
        state = Verified(self._seq, self._ends, self._snapshot.taken_at, self._state.full_at, self._state.walks)
        statements = count_digests.RECORD_CHANGED + record_ranges.build_changes(self._ranges, self._tail)
        replace_verified(self._connection, conditions, state, self._state.verified_at, statements)

    def _check_records(self, watermarks_before: Watermarks) -> None:
        topic, state = self._stores.kafka.raw_topic, self._state
        events.fill_topic_ends(self._cursor, topic, self._snapshot.watermarks)
        ranges = TopicRanges(
            self._cursor, self._stores.kafka, self._snapshot.watermarks, watermarks_before, self._snapshot.offsets
        )
        published, records = self._compared["published"], self._compared["served"]
        self._ends = ranges.check_tail(state.offsets, published)
        self._tail = record_ranges.check_tail(self._cursor, topic, self._ranges, records)
        record_ranges.scrub_range(self._cursor, topic, self._ranges, state.walk("records"), records)
        ranges.scrub(state.offsets, state.walk("topic"), published)
        published.pending = 0  # The records have been counted.
        for name in ("fetched", "staged"):
            self._compared[name].add(records.rows)

    def _check_rows(self) -> counts.Counts:
        cursor, state, compared = self._cursor, self._state, self._compared
        row_walks.check_new_batches(cursor, state.seq, compared["batches"])
        row_walks.scrub_batches(cursor, state.walk("batches"), compared["batches"])
        row_walks.check_new_quarantine(cursor, state.verified_at, compared["quarantine"])
        row_walks.scrub_quarantine(cursor, state.walk("quarantine"), compared["quarantine"])
        row_walks.scrub_superseded(cursor, state.walk("superseded"))
        kept_counts = counts.read_kept_counts(cursor)
        count_digests.check_counts(cursor, kept_counts, state.seq, state.walk("counts"))
        return kept_counts

    def _check_users(self) -> None:
        rows = MergedRows(self._cursor, self._session, self._in_flight)
        rows.check_new(self._state.seq, self._compared)
        rows.scrub(self._state.walk("users"), self._compared)
        for table in TABLES:
            rows.scrub_keys(table, self._state.walk(table))

    def _check_arrivals(self) -> None:
        cursor, session, in_flight = self._cursor, self._session, self._in_flight
        state, compared = self._state, self._compared[arrivals.TABLE]
        arrivals.check_batch_arrivals(cursor, session, in_flight, state.seq, arrivals.ALL_BATCHES[1], compared)
        walk = state.walk("arrived batches")
        after = -1 if walk.position is None else walk.position
        last = _find_last_batch(cursor, after, state.seq)
        if last is not None:
            arrivals.check_batch_arrivals(cursor, session, in_flight, after, last, compared)
        walk.advance(last if last is not None and last < state.seq else None)
        arrivals.scrub_arrivals(cursor, session, in_flight, state.walk(arrivals.TABLE))

    def _build_hops(self, kept_counts: counts.Counts, cassandra_counts: counts.Counts) -> Iterator[Hop]:
        for name in _HOPS:
            compared = self._compared[name]
            holds = f"{format_count(compared.rows, 'row was', 'rows were')} compared; the others were verified before."
            yield evaluate_hop(
                name,
                f"{name}: new and again",
                compared.rows,
                compared.rows - compared.pending,
                pending=compared.pending,
                holds=holds,
            )
            if name == "published":
                yield self._snapshot.read
            if name == "quarantine":
                yield counts.compare_counts("user_counts", "PostgreSQL user_counts = recount", kept_counts, kept_counts)
        hop = counts.compare_counts(
            "user_counts in Cassandra",
            "Cassandra user_counts = PostgreSQL",
            kept_counts,
            cassandra_counts,
            self._in_flight.list_counts(),
        )
        if hop.state is LedgerState.BROKEN:
            raise SuspicionError(hop.sentence)
        yield hop


def _find_last_batch(cursor: PgCursor, after: int, seq: int) -> int | None:
    """The last of the next batches after `after`, up to `seq`, that are compared again together."""
    cursor.execute(
        """
        SELECT max(seq) FROM (
            SELECT seq, sum(accepted) OVER (ORDER BY seq) - accepted AS before FROM (
                SELECT seq, accepted FROM analytics.batches WHERE seq > %s AND seq <= %s ORDER BY seq LIMIT %s
            ) AS b
        ) AS b WHERE before < %s""",
        (after, seq, SCRUBBED_BATCHES, SCRUBBED_ARRIVALS),
    )
    last: int | None = fetch_row(cursor)[0]
    return last
