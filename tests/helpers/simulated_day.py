"""Half a day of the platform with the simulator's records: every store as after a real run, with a closed ledger."""

import json
import random
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from psycopg2.extras import execute_values

from insights.clients import connections
from insights.clients.quarantine_table import insert_records
from insights.model.message import RawMessage
from insights.model.quarantine import QuarantineRecord
from insights.model.redaction import redact
from insights.model.schema import USER_FIELDS, build_user_counts_sql, find_id_bucket
from insights.model.user import User, derive_record_key
from insights.settings import StoreSettings
from insights.simulator.formats import list_nationalities
from insights.simulator.people import Crowd, generate_people
from tests.helpers.dashboard_data import fill_cassandra
from tests.helpers.oracle import Message, parse
from tests.helpers.oracle.document import Rejection

RUNS = 72
PAGES = 2
EVERY = timedelta(minutes=10)
API_VERSION = "1.4"
REJECTED_SHARE = 0.03
DEFECTS: dict[str, dict[str, Any]] = {
    "The value is not an address.": {"email": "someone at example.com"},
    "The date is after the record was fetched.": {"dob": {"date": "2093-07-20T09:44:18.674Z", "age": 34}},
    "The record has no UUID.": {"login": {"username": "bluefox12"}},
    "The value is not one of the API's nationalities.": {"nat": "ZZ"},
    "The value is absent or blank.": {"name": {"title": "Ms", "first": "", "last": "Lee"}},
}
"""Changes that make a record break a rule, by the detail of the quarantine record."""


@dataclass(frozen=True)
class Page:
    """A page of the source; the last page of a run also holds the times of the micro-batch that read the run."""

    number: int
    run_id: str
    fetched_at: datetime
    messages: list[RawMessage]
    duplicates: int
    started_at: datetime
    merged_at: datetime
    served_at: datetime

    @property
    def batch_id(self) -> str:
        return self.messages[0].batch_id


@dataclass(frozen=True)
class Day:
    """The contents of the stores, newest users first."""

    users: list[dict[str, Any]]
    quarantined: list[QuarantineRecord]
    fetched: int


def create_day(stores: StoreSettings, now: datetime, page_size: int) -> Day:
    """Fill the stores with a run of two pages every ten minutes, the last one two minutes before `now`."""
    pages = list(_make_pages(now, page_size))
    accepted, quarantined = [], []
    for page in pages:
        for message in page.messages:
            result = parse(Message(message.value, str(message.key).encode(), headers=tuple(message.headers())))
            if isinstance(result, User):
                accepted.append(result)
            else:
                quarantined.append(_make_quarantined(message, result, stores.kafka.raw_topic))
    rows = [_make_row(user) for user in reversed(accepted)]
    _publish(stores, pages, quarantined)
    with closing(connections.connect_postgres(stores.postgres, "tests")) as connection, connection:
        cursor = connection.cursor()
        _stage(cursor, pages, stores.kafka.raw_topic)
        rejected_ids = {record.event_id for record in quarantined}
        _merge(cursor, accepted, pages, rejected_ids, stores.kafka.raw_topic)
        insert_records(cursor, quarantined)
        cursor.execute("UPDATE quarantine.records SET quarantined_at = event_time + interval '2 seconds'")
    fill_cassandra(stores.cassandra, rows)
    return Day(rows, quarantined, sum(len(page.messages) + page.duplicates for page in pages))


def _make_pages(now: datetime, size: int) -> Iterator[Page]:
    dice = random.Random(5)
    last = now.replace(second=0, microsecond=0) - timedelta(minutes=2)
    event = 0
    for run in range(RUNS):
        run_at = last - EVERY * (RUNS - 1 - run)
        for number in range(1, PAGES + 1):
            fetched_at = run_at + timedelta(seconds=4 * number, milliseconds=dice.randrange(1000))
            batch = f"ingest_users/{run_at:%Y-%m-%dT%H:%M:%S}/{number}"
            records = generate_people(Crowd(API_VERSION, batch, number, list_nationalities(API_VERSION)), size)
            messages = []
            for record in records:
                event += 1
                messages.append(_make_message(_break_some(record, dice), event, batch, fetched_at))
            started_at = fetched_at + timedelta(seconds=0.3 + dice.random())
            merged_at = started_at + timedelta(seconds=0.4 + dice.random() ** 3)
            yield Page(
                number,
                f"scheduled__{run_at:%Y-%m-%dT%H:%M:%S}+00:00",
                fetched_at,
                messages,
                dice.choice((0, 0, 0, 1)),
                started_at,
                merged_at,
                merged_at + timedelta(seconds=0.2 + dice.random() / 2),
            )


def _break_some(record: dict[str, Any], dice: random.Random) -> dict[str, Any]:
    if dice.random() >= REJECTED_SHARE:
        return record
    return record | dice.choices(list(DEFECTS.values()), weights=(5, 3, 3, 2, 1))[0]


def _make_message(record: dict[str, Any], event: int, batch: str, fetched_at: datetime) -> RawMessage:
    value = redact(json.dumps(record, ensure_ascii=False).encode())
    key = derive_record_key(record["login"].get("uuid"), value.decode)
    return RawMessage(str(event), key, value, batch, int(fetched_at.timestamp() * 1e6) + event % 1000, fetched_at)


def _make_quarantined(message: RawMessage, rejection: Rejection, topic: str) -> QuarantineRecord:
    record = json.loads(message.value)
    detail = next(text for text, change in DEFECTS.items() if record | change == record)
    number = int(message.event_id) - 1
    return QuarantineRecord(
        origin=f"{topic}/{number % 2}/{number // 2}",
        event_id=message.event_id,
        reason=rejection.reason,
        field=rejection.field,
        detail=detail,
        key=str(message.key),
        batch_id=message.batch_id,
        version=message.version,
        event_time=message.event_time,
        redrives=0,
        size=len(message.value),
        sha256="",
        payload=message.value,
    )


def _make_row(user: User) -> dict[str, Any]:
    buckets = {"bucket": int(str(user.user_id)[0], 16), "id_bucket": find_id_bucket(user.user_id)}
    return asdict(user) | buckets | {"hour": f"{user.event_time:%Y-%m-%dT%H}"}


def _publish(stores: StoreSettings, pages: Sequence[Page], quarantined: Sequence[QuarantineRecord]) -> None:
    """Produce the messages, message n at offset n // 2 of partition n % 2, and the copies of quarantined records."""
    producer = connections.make_kafka_producer(stores.kafka, "tests")
    for page in pages:
        for message in page.messages:
            producer.produce(
                stores.kafka.raw_topic,
                message.value,
                str(message.key),
                partition=(int(message.event_id) - 1) % 2,
                headers=message.headers(),
                timestamp=int(page.fetched_at.timestamp() * 1000) + 200,
            )
        producer.poll(0)
    for copy in quarantined:
        timestamp = int(copy.event_time.timestamp() * 1000) + 2000
        producer.produce(
            stores.kafka.quarantine_topic, copy.payload, copy.key, headers=copy.headers(), timestamp=timestamp
        )
    assert producer.flush(60) == 0


def _stage(cursor: Any, pages: Sequence[Page], topic: str) -> None:
    cursor.execute("SELECT staging.current_epoch()")
    epoch = cursor.fetchone()[0]
    today = datetime.now(UTC).date()
    cursor.execute(
        f"CREATE TABLE staging.users_{today:%Y%m%d} PARTITION OF staging.users"
        f" FOR VALUES FROM ('{today}') TO ('{today + timedelta(days=1)}')"
    )
    execute_values(
        cursor,
        "INSERT INTO staging.batches VALUES %s",
        [
            (
                page.batch_id,
                "ingest_users",
                page.run_id,
                f"{index:016x}",
                page.number,
                len(page.messages) + page.duplicates,
                len(page.messages),
                page.duplicates,
                API_VERSION,
                "",
                90_000,
                page.fetched_at,
                page.fetched_at + timedelta(milliseconds=200),
            )
            for index, page in enumerate(pages)
        ],
    )
    messages = [message for page in pages for message in page.messages]
    keys = [(str(message.key), int(message.event_id), today, message.batch_id) for message in messages]
    execute_values(cursor, "INSERT INTO staging.user_keys VALUES %s", keys, page_size=1000)
    execute_values(
        cursor,
        "INSERT INTO staging.users (id, epoch, staged_on, user_key, version, event_time, batch_id, payload) VALUES %s",
        [
            (
                message.event_id,
                epoch,
                today,
                str(message.key),
                message.version,
                message.event_time,
                message.batch_id,
                message.value.decode(),
            )
            for message in messages
        ],
        page_size=1000,
    )
    cursor.execute(
        "INSERT INTO staging.publisher (name, epoch, xact_id, id, published, moved_at)"
        " SELECT %s, %s, max(xact_id), max(id), count(*), %s FROM staging.users",
        (topic, epoch, pages[-1].fetched_at + timedelta(milliseconds=300)),
    )


def _merge(cursor: Any, users: Sequence[User], pages: Sequence[Page], rejected_ids: set[str], topic: str) -> None:
    cells = [
        tuple(str(cell) if isinstance(cell, UUID) else cell for cell in (getattr(user, name) for name in USER_FIELDS))
        for user in users
    ]
    names = ", ".join(USER_FIELDS)
    execute_values(cursor, f"INSERT INTO analytics.users ({names}) VALUES %s", cells, page_size=1000)
    cursor.execute(
        "INSERT INTO analytics.user_counts (dimension, value, count, seq)"
        f" SELECT dimension, value, count, 1 FROM ({build_user_counts_sql('analytics.users')}) AS counted"
    )
    read, rows = 0, []
    for number in range(RUNS):
        run = pages[PAGES * number : PAGES * (number + 1)]
        messages = [message for page in run for message in page.messages]
        rejected = sum(message.event_id in rejected_ids for message in messages)
        accepted = len(messages) - rejected
        spans = {
            str(partition): [(read + 1 - partition) // 2, (read + len(messages) + 1 - partition) // 2]
            for partition in (0, 1)
        }
        read += len(messages)
        last = run[-1]
        rows.append(
            (
                "stream",
                number,
                int(last.merged_at.timestamp() * 1e6),
                json.dumps({topic: spans}),
                len(messages),
                accepted,
                rejected,
                accepted,
                0,
                last.started_at,
                last.merged_at,
                last.served_at,
                [run[percent * PAGES // 101].fetched_at for percent in range(101)],
            )
        )
    execute_values(
        cursor,
        "INSERT INTO analytics.batches (query_id, batch_id, seq, offsets, read, accepted, rejected, inserted, updated,"
        " started_at, merged_at, served_at, event_times) VALUES %s",
        rows,
    )
