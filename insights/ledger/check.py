"""The check: every hop against one snapshot of PostgreSQL."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg2
from confluent_kafka import KafkaException

from insights.clients import connections
from insights.errors import UserError
from insights.ledger import counts, events, rows
from insights.ledger.flow import PATIENCE, Flow, measure, read_until
from insights.ledger.hop import Hop, Ledger, State
from insights.ledger.image import ImageProtocol
from insights.ledger.late import Late
from insights.ledger.progress import Progress, totals
from insights.ledger.topic import RawTopic
from insights.settings import CassandraSettings, KafkaSettings, PostgresSettings

_POLL_SECONDS = 0.5
_APPLICATION = "ledger"


@dataclass(frozen=True, slots=True)
class Stores:
    """The three servers that the ledger reads."""

    postgres: PostgresSettings
    kafka: KafkaSettings
    cassandra: CassandraSettings


def check(stores: Stores, wait_seconds: float = 0) -> Ledger:
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


def flow(stores: Stores) -> Flow:
    """What is in flight now.

    Raises:
        UserError: a store cannot be reached or read.
    """
    with _readable(), closing(RawTopic(stores.kafka)) as topic:
        return _flow(stores, topic)


def stalled(stores: Stores, seconds: float) -> Flow | None:
    """What waits, when messages or a batch wait and the stream moves nothing for `seconds`; None when it moves or has
    no work. Of a batch that is overdue the check tells whether anything of it is missing.

    Raises:
        UserError: a store cannot be reached or read.
    """
    before, deadline = flow(stores), time.monotonic() + seconds
    while True:
        now = flow(stores)
        moves = now.last_batch != before.last_batch or now.unserved < before.unserved
        if moves or not (now.unread or now.unserved > now.overdue):
            return None
        if time.monotonic() > deadline:
            return now
        time.sleep(_POLL_SECONDS)


def progress(stores: Stores) -> Progress:
    """Running totals of every hop.

    Raises:
        UserError: a store cannot be reached or read.
    """
    with _readable(), closing(RawTopic(stores.kafka)) as topic, _cursor(stores) as cursor:
        return totals(cursor, stores.kafka.raw_topic, topic.watermarks())


def _hops(stores: Stores, topic: RawTopic) -> Iterator[Hop]:
    name = stores.kafka.raw_topic
    with closing(connections.postgres(stores.postgres, _APPLICATION)) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        cursor.execute(events.SCRATCH)
        connection.autocommit = False
        early = topic.watermarks()
        connection.set_session(isolation_level="REPEATABLE READ", readonly=True)
        until = read_until(cursor, name)
        span = topic.watermarks()
        now = measure(cursor, name, span)
        events.load(cursor, name, topic.events(span), early, until)
        yield events.fetched(cursor)
        yield events.staged(cursor)
        yield events.published(cursor)
        yield events.served(cursor, pruned=any(low > 0 for low, _ in span.values()))
        yield from _cassandra_hops(stores, cursor, now)


def _cassandra_hops(stores: Stores, cursor: Any, snapshot: Flow) -> Iterator[Hop]:
    kept = counts.kept(cursor)
    yield counts.compare("user_counts", "PostgreSQL user_counts = recount", counts.recounted(cursor), kept)
    with connections.cassandra(stores.cassandra) as session:
        counted = counts.served(session)
        session.client_protocol_handler = ImageProtocol
        with ThreadPoolExecutor(1) as beside:
            found = {table: beside.submit(rows.cassandra_digest, session, table) for table in rows.TABLES}
            expected = {table: rows.postgres_digest(cursor, table) for table in rows.TABLES}
            digests = {table: (expected[table], found[table].result()) for table in rows.TABLES}
        late = Late(cursor, snapshot, lambda: _cursor(stores))
        for table, (left, right) in digests.items():
            yield _explained(rows.compare(cursor, session, table, left, right, late), snapshot)
        equation = "Cassandra user_counts = PostgreSQL"
        yield _explained(counts.compare("user_counts in Cassandra", equation, kept, counted, late.counts()), snapshot)


def _explained(hop: Hop, snapshot: Flow) -> Hop:
    if hop.state is not State.BROKEN or not snapshot.overdue:
        return hop
    minutes = PATIENCE // timedelta(minutes=1)
    why = f"{snapshot.overdue:,} merged batches have waited for Cassandra for over {minutes} minutes; see the stream."
    return replace(hop, sentence=f"{hop.sentence} {why}")


def _flow(stores: Stores, topic: RawTopic) -> Flow:
    with _cursor(stores) as cursor:
        return measure(cursor, stores.kafka.raw_topic, topic.watermarks())


def _wait_until_idle(stores: Stores, topic: RawTopic, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not _flow(stores, topic).idle and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)


@contextmanager
def _cursor(stores: Stores) -> Iterator[Any]:
    with closing(connections.postgres(stores.postgres, _APPLICATION)) as connection, connection.cursor() as cursor:
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
