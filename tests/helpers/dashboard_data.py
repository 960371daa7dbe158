"""Generated users, written directly to the stores that the dashboard reads."""

import random
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from insights.clients import connections
from insights.clients.quarantine_table import insert_records
from insights.model.quarantine import QuarantineRecord
from insights.model.reasons import Reason
from insights.model.schema import CASSANDRA_TABLES, PACKED_COLUMNS, find_id_bucket
from insights.model.user import DIMENSIONS
from insights.settings import CassandraSettings
from tests.helpers.cassandra_rows import insert_rows
from tests.helpers.dimension_oracle import value

HOSTILE_NAME = '<script>document.title="owned"</script><img src=x onerror=alert(1)> ![x](http://example.org/x.png)'
COUNTRIES = {
    "AU": ("Australia", -25.0, 134.0),
    "BR": ("Brazil", -10.0, -53.0),
    "CA": ("Canada", 57.0, -106.0),
    "DE": ("Germany", 51.0, 10.0),
    "FR": ("France", 46.5, 2.5),
    "GB": ("United Kingdom", 54.0, -2.5),
    "IN": ("India", 22.0, 79.0),
    "MX": ("Mexico", 24.0, -102.0),
    "TR": ("Türkiye", 39.0, 35.0),
    "UA": ("Ukraine", 49.0, 32.0),
    "US": ("United States", 39.0, -98.0),
}
BANDS = ("18-24", "25-34", "35-44", "45-54", "55-64", "65-74", "75+")
GENERATIONS = ("Silent", "Boomers", "Gen X", "Millennials", "Gen Z")


def users(count: int, now: datetime, seed: int = 7) -> list[dict[str, Any]]:
    """Rows with the columns of the user tables. The first is the latest arrival, and its name is `HOSTILE_NAME`."""
    chance = random.Random(seed)
    return [_make_user(chance, now, number) for number in range(count)]


def counts_of(people: Sequence[dict[str, Any]]) -> dict[str, Counter[str]]:
    """The exact counts of `people`, by dimension and value."""
    return {dimension: Counter(value(person, dimension) for person in people) for dimension in DIMENSIONS}


def fill_cassandra(settings: CassandraSettings, people: Sequence[dict[str, Any]]) -> None:
    """Write `people` and their counts to every table of the keyspace."""
    with connections.open_cassandra(settings) as session:
        for table, (_, columns) in CASSANDRA_TABLES.items():
            rows = people[:200] if table == "latest_arrivals" else people
            cells = [row | _pack(row) for row in rows]
            insert_rows(session, table, columns, [tuple(row[column] for column in columns) for row in cells])
        counted = [(dimension, *item) for dimension, counter in counts_of(people).items() for item in counter.items()]
        insert_rows(session, "user_counts", ("dimension", "value", "count"), counted)


def _pack(row: dict[str, Any]) -> dict[str, Any]:
    return {column: tuple(row.get(name) for name in fields) for column, fields in PACKED_COLUMNS.items()}


class Hops(NamedTuple):
    """The totals of each hop that `fill_postgres` writes."""

    fetched: int
    duplicates: int
    published: int
    quarantined: int


def fill_postgres(connection: Any, topic: str, people: Sequence[dict[str, Any]], now: datetime) -> Hops:
    """Write the rows of `people` and of 12 quarantined records for every hop, in batches of 500."""
    count, quarantined = len(people), 12
    with connection, connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO staging.batches (batch_id, dag_id, run_id, seed, page, fetched, staged, duplicates,"
            " answer_sha256, answer_bytes, fetched_at) VALUES ('b1', 'd', 'r', 's', 1, %s, %s, 5, '', 1, %s)",
            (count + quarantined + 5, count + quarantined, now),
        )
        cursor.execute(
            "INSERT INTO staging.publisher (name, published, moved_at) VALUES (%s, %s, %s)",
            (topic, count + quarantined, now - timedelta(seconds=8)),
        )
        for dimension, counter in counts_of(people).items():
            for value_text, number in counter.items():
                cursor.execute(
                    "INSERT INTO analytics.user_counts VALUES (%s, %s, %s, 1)", (dimension, value_text, number)
                )
        for batch in range(0, count, 500):
            started = now - timedelta(minutes=2) + timedelta(seconds=batch / 100)
            seconds = 0.6 + (batch % 700) / 700
            cursor.execute(
                "INSERT INTO analytics.batches (query_id, batch_id, seq, offsets, read, accepted, rejected, inserted,"
                " updated, started_at, merged_at, served_at, event_times)"
                " VALUES ('q', %s, %s, '{}', 500, 498, 2, 498, 0, %s, %s, %s, %s)",
                (
                    batch // 500,
                    int(started.timestamp() * 1e6),
                    started,
                    started + timedelta(seconds=seconds),
                    started + timedelta(seconds=2 * seconds),
                    [started - timedelta(seconds=2) + timedelta(seconds=percent / 50) for percent in range(101)],
                ),
            )
        insert_records(cursor, [_make_quarantined(number, topic, now) for number in range(quarantined)])
    return Hops(count + quarantined + 5, 5, count + quarantined, quarantined)


def _make_quarantined(number: int, topic: str, now: datetime) -> QuarantineRecord:
    reason = (Reason.BAD_EMAIL, Reason.SCHEMA, Reason.BAD_EMAIL)[number % 3]
    return QuarantineRecord(
        origin=f"{topic}/0/{number}",
        event_id=str(number),
        reason=reason,
        field="email",
        detail=HOSTILE_NAME,
        key=None,
        batch_id="b1",
        version=number,
        event_time=now,
        redrives=0,
        size=900,
        sha256="",
        payload=b"{}",
    )


def _make_user(chance: random.Random, now: datetime, number: int) -> dict[str, Any]:
    code = chance.choices(list(COUNTRIES), weights=range(len(COUNTRIES), 0, -1))[0]
    country, latitude, longitude = COUNTRIES[code]
    user_id = UUID(int=chance.getrandbits(128), version=4)
    registered = datetime(2003, 1, 1, tzinfo=UTC) + timedelta(days=8000 * chance.random() ** 0.6)
    arrived = (now - timedelta(seconds=number)).astimezone(UTC)
    generation = chance.choices(range(5), weights=(1, 3, 4, 5, 3))[0]
    plausible = chance.random() < 0.85
    return {
        "user_id": user_id,
        "bucket": int(str(user_id)[0], 16),
        "id_bucket": find_id_bucket(user_id),
        "version": int(arrived.timestamp() * 1e6),
        "event_id": str(number),
        "event_time": arrived,
        "hour": f"{arrived:%Y-%m-%dT%H}",
        "full_name": HOSTILE_NAME if number == 0 else f"{chance.choice(['Ann', 'Zoë', 'Omar', '美咲'])} No. {number}",
        "gender": chance.choice(["female", "male"]),
        "age": 80 - 13 * generation + chance.randrange(10),
        "age_band": BANDS[min(6, 6 - generation + chance.randrange(2))],
        "generation": GENERATIONS[generation],
        "email": f"user{number}@example.com",
        "email_domain": "example.com",
        "city": chance.choice(["Springfield", 'São "Paulo"', "München", None]),
        "state": None,
        "country_code": code,
        "country": country,
        "latitude": latitude + chance.gauss(0, 2) if plausible else chance.uniform(-85, 85),
        "longitude": longitude + chance.gauss(0, 3) if plausible else chance.uniform(-180, 180),
        "location_plausible": plausible,
        "registered_at": registered,
        "registered_year": registered.year,
        "registered_month": f"{registered:%Y-%m}",
        "tenure_days": (now - registered).days,
    }
