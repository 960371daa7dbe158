"""An idle flow: some users in every store, as after a real run, and nothing in flight."""

import json
import random
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from psycopg2.extras import Json, execute_values

from insights.clients import connections, refill_record
from insights.clients.kafka_admin import get_admin, read_watermarks
from insights.clients.quarantine_table import insert_records
from insights.ledger.hops import Ledger, LedgerState
from insights.model.batch import digest_batch, digest_page
from insights.model.message import RawMessage, digest_record, to_epoch_milliseconds
from insights.model.quarantine import QuarantineRecord
from insights.model.reasons import Reason
from insights.model.schema import (
    CASSANDRA_TABLES,
    LAYOUT,
    PACKED_COLUMNS,
    USER_FIELDS,
    build_user_counts_sql,
    split_primary_key,
)
from insights.model.user import User, read_field_types
from insights.settings import StoreSettings
from insights.sinks.row_digests import digest_users
from tests.helpers import accepted_users
from tests.helpers.cassandra_rows import insert_rows

FETCHED_AT = datetime(2026, 11, 20, 12, 0, 0, 123000, tzinfo=UTC)
BATCH = "ingest_users/2026-11-20/1"
WORDS = ("Zoë", "محمد", "O'Brien", "", "a\tb", "\\", "名前")


@dataclass(frozen=True)
class IdleFlow:
    """The stores of an idle flow, with access to each."""

    stores: StoreSettings

    def sql(self, statement: str, *parameters: Any) -> Any:
        """Execute a statement in PostgreSQL. Returns its first row, if any."""
        with closing(connections.connect_postgres(self.stores.postgres, "tests")) as connection, connection:
            cursor = connection.cursor()
            cursor.execute(statement, parameters)
            return cursor.fetchone() if cursor.description else None

    def cql(self, statement: str, *parameters: Any) -> list[Any]:
        """Execute a statement in Cassandra. Returns its rows."""
        with connections.open_cassandra(self.stores.cassandra) as session:
            return list(session.execute(statement, parameters))

    def insert(self, table: str, **cells: Any) -> None:
        """Insert a row into a table of Cassandra."""
        with connections.open_cassandra(self.stores.cassandra) as session:
            insert_rows(session, table, tuple(cells), [tuple(cells.values())])

    def change_profile(self, number: int, **fields: Any) -> None:
        """Change fields of a user's profile in Cassandra."""
        self.change_packed("user_profiles_by_id", "profile", number, **fields)

    def remove_profile(self, number: int) -> None:
        """Remove a user's row in `user_profiles_by_id`."""
        key = make_cells(number, list_key("user_profiles_by_id"))
        self.cql("DELETE FROM user_profiles_by_id WHERE id_bucket = %s AND user_id = %s", *key)

    def change_packed(self, table: str, column: str, number: int, **fields: Any) -> None:
        """Change fields of a packed column in Cassandra's row of a user, which may be missing."""
        key = make_cells(number, list_key(table))
        where = " AND ".join(f"{name} = ?" for name in list_key(table))
        with connections.open_cassandra(self.stores.cassandra) as session:
            found = session.execute(session.prepare(f"SELECT {column} FROM {table} WHERE {where}"), key).one()
            if found and found[0]:
                update = session.prepare(f"UPDATE {table} SET {column} = ? WHERE {where}")
                session.execute(update, [found[0]._replace(**fields), *key])

    def publish(self, *messages: RawMessage, foreign: int = 0) -> None:
        """Produce messages to the raw topic, and `foreign` messages without headers."""
        producer = connections.make_kafka_producer(self.stores.kafka, "tests")
        topic = self.stores.kafka.raw_topic
        for number, message in enumerate(messages):
            if number % 1000 == 0:
                producer.flush(30)
            producer.produce(topic, message.value, str(message.key), partition=number % 2, headers=message.headers())
        for _ in range(foreign):
            producer.produce(topic, b"{}", b"foreign", partition=0)
        assert producer.flush(30) == 0


def user_id(number: int) -> UUID:
    return UUID(int=random.Random(number).getrandbits(128), version=4)


def message(number: int, version: int = 1, redrives: int = 0) -> RawMessage:
    payload = json.dumps({"login": {"uuid": str(user_id(number))}}).encode()
    return RawMessage(str(number), user_id(number), payload, BATCH, version, FETCHED_AT, redrives)


def user(number: int) -> tuple[Any, ...]:
    """The values of a user, of every type and with nulls, in the order of `User`."""
    dice = random.Random(number)
    generators: dict[type, Any] = {
        UUID: lambda: str(user_id(number)),
        str: lambda: dice.choice(WORDS) + str(dice.randrange(5)),
        int: lambda: dice.randrange(-5, 100),
        float: lambda: dice.choice((0.0, 1e-7, 123456.789, dice.uniform(-180, 180))),
        bool: lambda: dice.random() < 0.5,
        datetime: lambda: datetime(1948, 3, 1, tzinfo=UTC) + timedelta(milliseconds=dice.randrange(2 * 10**12)),
    }
    cells = {
        name: None if optional and dice.random() < 0.2 else generators[kind]()
        for name, (kind, optional) in read_field_types(User).items()
    }
    cells |= {"event_id": str(number), "version": 10**15 + number, "event_time": FETCHED_AT, "batch_id": BATCH}
    return tuple(cells[name] for name in USER_FIELDS)


def create_idle_flow(stores: StoreSettings, users: int = 30, quarantined: int = 2) -> IdleFlow:
    """Put `users` users and `quarantined` rejected records into every store."""
    flow = IdleFlow(stores)
    total = users + quarantined
    with closing(connections.connect_postgres(stores.postgres, "tests")) as connection, connection:
        cursor = connection.cursor()
        _insert_staged(cursor, total)
        _advance_publisher(cursor, stores.kafka.raw_topic, total)
        execute_values(
            cursor,
            f"INSERT INTO analytics.users ({', '.join(USER_FIELDS)}, seq, digest) VALUES %s",
            ((*user(number), 1, digest) for number, digest in enumerate(_digest_users(users))),
        )
        cursor.execute(
            "INSERT INTO analytics.user_counts (dimension, value, count, seq)"
            f" SELECT dimension, value, count, 1 FROM ({build_user_counts_sql('analytics.users')}) AS counted"
        )
        _insert_quarantined(cursor, range(users, total))
        cursor.execute("SELECT dimension, value, count FROM analytics.user_counts")
        counts = cursor.fetchall()
    flow.publish(*map(message, range(total)))
    _write_cassandra(flow, users, counts)
    add_batch(flow, accepted=users)
    return flow


def add_batch(flow: IdleFlow, delivered: bool = True, accepted: int = 0) -> None:
    """Add a merged batch that has read the topic to its end."""
    watermarks = read_watermarks(get_admin(flow.stores.kafka), flow.stores.kafka.raw_topic)
    spans = {str(partition): list(span) for partition, span in watermarks.items()}
    (batches,) = flow.sql("SELECT count(*) FROM analytics.batches")
    row = {
        "query_id": "query",
        "batch_id": batches,
        "seq": batches + 1,
        "offsets": {flow.stores.kafka.raw_topic: spans},
        "read": accepted,
        "accepted": accepted,
        "rejected": 0,
        "inserted": 0,
        "updated": 0,
    }
    row |= {
        "digest": digest_batch(row),
        "offsets": Json(row["offsets"]),
        "started_at": FETCHED_AT,
        "served_at": datetime.now(UTC) if delivered else None,
        "layout": LAYOUT if delivered else None,
    }
    flow.sql(f"INSERT INTO analytics.batches ({', '.join(row)}) VALUES ({', '.join(['%s'] * len(row))})", *row.values())


def _digest_users(users: int) -> list[int]:
    rows = [dict(zip(USER_FIELDS, user(number), strict=True)) for number in range(users)]
    digests: list[int] = digest_users(accepted_users.table(rows)).to_pylist()
    return digests


def _insert_staged(cursor: Any, total: int) -> None:
    cursor.execute("INSERT INTO staging.epochs (system_identifier) VALUES (1)")
    cursor.execute(
        "CREATE TABLE staging.users_20261120 PARTITION OF staging.users"
        " FOR VALUES FROM ('2026-11-20') TO ('2026-11-21')"
    )
    page = {
        "batch_id": BATCH,
        "dag_id": "ingest_users",
        "run_id": "run",
        "seed": "seed",
        "page": 1,
        "fetched": total + 3,
        "staged": total,
        "duplicates": 3,
        "quarantined": 0,
        "api_version": "1.4",
        "answer_sha256": "x",
        "answer_bytes": 9,
    }
    page |= {"digest": digest_page(page), "fetched_at": FETCHED_AT}
    execute_values(cursor, f"INSERT INTO staging.batches ({', '.join(page)}) VALUES %s", [tuple(page.values())])
    keys = [(str(user_id(number)), number, "2026-11-20", BATCH) for number in range(total)]
    execute_values(cursor, "INSERT INTO staging.user_keys VALUES %s", keys)
    milliseconds = str(to_epoch_milliseconds(FETCHED_AT))
    rows = []
    for number in range(total):
        key, value = str(user_id(number)), message(number).value
        digest = digest_record(str(number), key, BATCH, milliseconds, value)
        rows.append((number, 1, "2026-11-20", key, 1, FETCHED_AT, BATCH, digest, value.decode()))
    execute_values(
        cursor,
        "INSERT INTO staging.users (id, epoch, staged_on, user_key, version, event_time, batch_id, digest, payload)"
        " VALUES %s",
        rows,
    )


def _advance_publisher(cursor: Any, topic: str, total: int) -> None:
    cursor.execute(
        "INSERT INTO staging.publisher (name, epoch, xact_id, id)"
        " SELECT %s, 1, coalesce(max(xact_id), '0'), %s FROM staging.users",
        (topic, total),
    )


def _insert_quarantined(cursor: Any, numbers: range) -> None:
    records = [
        QuarantineRecord(
            f"raw/0/{number}",
            str(number),
            Reason.BAD_EMAIL,
            "email",
            "no @",
            str(user_id(number)),
            BATCH,
            version=1,
            event_time=FETCHED_AT,
            redrives=0,
            size=9,
            sha256="x",
            payload=message(number).value,
        )
        for number in numbers
    ]
    insert_records(cursor, records)


def _write_cassandra(flow: IdleFlow, users: int, counts: list[tuple[Any, ...]]) -> None:
    with connections.open_cassandra(flow.stores.cassandra) as session:
        for table, (_, names) in CASSANDRA_TABLES.items():
            insert_rows(session, table, names, [make_cells(number, names) for number in range(users)])
        insert_rows(session, "user_counts", ("dimension", "value", "count"), counts)
        refill_record.mark_filled(session)


def list_key(table: str) -> tuple[str, ...]:
    """The columns of the primary key of a Cassandra table."""
    partition_key, clustering_columns = split_primary_key(table)
    return partition_key + clustering_columns


def make_cells(number: int, names: Sequence[str]) -> list[Any]:
    """The values of a user in these columns of a Cassandra table."""
    cells = dict(zip(USER_FIELDS, user(number), strict=True))
    cells |= {"user_id": user_id(number), "bucket": int(user_id(number).hex[0], 16)}
    cells["id_bucket"] = int(user_id(number).hex[:3], 16) // 4
    cells["hour"] = f"{cells['event_time']:%Y-%m-%dT%H}"
    cells |= {column: tuple(cells[name] for name in fields) for column, fields in PACKED_COLUMNS.items()}
    return [cells[name] for name in names]


def list_broken_hops(ledger: Ledger) -> dict[str, tuple[str, ...]]:
    """The broken hops, with every id that they name."""
    return {hop.name: hop.missing + hop.extra + hop.changed for hop in ledger.hops if hop.state is LedgerState.BROKEN}


def gender(number: int) -> str:
    """The gender of a user."""
    return str(user(number)[USER_FIELDS.index("gender")])
