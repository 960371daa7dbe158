"""Raw staging in PostgreSQL: load a page, read a period again, drop what is old and published."""

import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, Protocol
from uuid import UUID

from psycopg2.errors import LockNotAvailable

from insights.model.message import RawMessage
from insights.model.user import record_key

CHANNEL = "insights_staged"
"""Notified when a page is staged."""
_LOCK_WAIT = "5s"
"""Retention gives way to loads and reads: it tries again on its next run."""
_CLOCK_SKEW = timedelta(hours=1)
"""How far the clock that a page was fetched by may be ahead of the server's, whose day chose the partition."""
_COPY_ESCAPES = ((b"\\", b"\\\\"), (b"\t", b"\\t"), (b"\n", b"\\n"), (b"\r", b"\\r"))


class Page(Protocol):
    """One whole page of the source."""

    @property
    def seed(self) -> str: ...
    @property
    def page(self) -> int: ...
    @property
    def records(self) -> Sequence[bytes]:
        """JSON texts in UTF-8, credentials removed."""

    @property
    def api_version(self) -> str: ...
    @property
    def fetched_at(self) -> datetime: ...
    @property
    def body_sha256(self) -> str: ...
    @property
    def body_bytes(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Loaded:
    """What a page brought. `duplicates`: records whose key was staged before, or twice within the page."""

    batch_id: str
    fetched: int
    staged: int
    duplicates: int


@dataclass(frozen=True, slots=True)
class Staging:
    """The staging tables through one psycopg2 connection, which each method leaves outside a transaction."""

    connection: Any

    def load_page(self, page: Page, dag_id: str, run_id: str) -> Loaded:
        """Stage the page's new records: rows, ledger row and notification in one transaction.

        A page that is there already, by seed and number, changes nothing and returns the counts of its first load.
        """
        keyed = _keyed(page.records)
        batch_id = f"{page.seed}/{page.page}"
        with self.connection, self.connection.cursor() as cursor:
            staged_on = _partition_of_today(cursor)
        with self.connection, self.connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended('staging.batches/' || %s, 0))", (batch_id,))
            loaded = _recorded(cursor, batch_id)
            if loaded is None:
                ids = _claim(cursor, list(keyed), staged_on, batch_id)
                _copy(cursor, page, keyed, ids, staged_on, batch_id)
                loaded = Loaded(batch_id, len(page.records), len(ids), len(page.records) - len(ids))
                _enter(cursor, page, loaded, dag_id, run_id)
                cursor.execute(f"NOTIFY {CHANNEL}")
        return loaded

    def rows(self, from_: datetime, to: datetime, fetch_rows: int = 2000) -> Iterator[RawMessage]:
        """The rows fetched from `from_` until before `to`, as messages of a newer version, in order of staging.

        Read through a server-side cursor: memory holds `fetch_rows` rows at most.
        """
        with self.connection, self.connection.cursor("replay") as cursor:
            cursor.itersize = fetch_rows
            cursor.execute(
                """
                SELECT id, user_key::text, payload::text, batch_id, event_time,
                       greatest((extract(epoch FROM clock_timestamp()) * 1000000)::bigint, version + 1)
                FROM staging.users
                WHERE event_time >= %(from)s AND event_time < %(to)s AND staged_on >= %(day)s
                ORDER BY epoch, xact_id, id
                """,
                {"from": from_, "to": to, "day": (from_.astimezone(UTC) - _CLOCK_SKEW).date()},
            )
            for id_, key, payload, batch_id, event_time, version in cursor:
                yield RawMessage(str(id_), UUID(key), payload.encode(), batch_id, version, event_time)

    def drop_expired(self, now: datetime, retention_days: int, publisher: str) -> list[date]:
        """Drop the daily partitions that ended `retention_days` ago and that the cursor of `publisher` has passed.

        Goes from the oldest day on and stops at the first that must stay, or that is in use. Each dropped day is noted
        in `staging.pruned`, in the same transaction. Returns the days dropped.
        """
        last = now.astimezone(UTC).date() - timedelta(days=retention_days + 1)
        dropped = []
        for day in self._days():
            if day > last or not self._drop(day, publisher):
                break
            dropped.append(day)
        return dropped

    def _days(self) -> list[date]:
        with self.connection, self.connection.cursor() as cursor:
            cursor.execute(
                "SELECT to_date(right(c.relname, 8), 'YYYYMMDD') FROM pg_inherits AS i JOIN pg_class AS c"
                " ON c.oid = i.inhrelid WHERE i.inhparent = 'staging.users'::regclass ORDER BY 1"
            )
            return [day for (day,) in cursor]

    def _drop(self, day: date, publisher: str) -> bool:
        try:
            with self.connection, self.connection.cursor() as cursor:
                cursor.execute(f"SET LOCAL lock_timeout = '{_LOCK_WAIT}'")
                _become_owner(cursor)
                cursor.execute("LOCK TABLE staging.users IN ACCESS EXCLUSIVE MODE")
                if _has_unpublished(cursor, day, publisher):
                    return False
                cursor.execute(
                    f"INSERT INTO staging.pruned (staged_on, row_count) SELECT %s, count(*) FROM {_partition(day)}",
                    (day,),
                )
                cursor.execute(f"DROP TABLE {_partition(day)}")
        except LockNotAvailable:
            return False
        return True


def _keyed(records: Sequence[bytes]) -> dict[str, bytes]:
    """The first record of each key, in the order of keys, in which overlapping pages wait for each other."""
    keyed: dict[str, bytes] = {}
    for record in records:
        keyed.setdefault(_key(record), record)
    return dict(sorted(keyed.items()))


def _key(record: bytes) -> str:
    # Numbers stay as they are written: Python refuses to read one of thousands of digits.
    parsed = json.loads(record, parse_int=str, parse_float=str)
    login = parsed.get("login") if isinstance(parsed, dict) else None
    login_uuid = login.get("uuid") if isinstance(login, dict) else None
    return str(record_key(login_uuid, lambda: json.dumps(parsed, sort_keys=True, separators=(",", ":"))))


def _partition(day: date) -> str:
    return f"staging.users_{day:%Y%m%d}"


def _partition_of_today(cursor: Any) -> date:
    """Create today's partition unless it is there, locking out neither readers nor writers: returns the day."""
    cursor.execute("SELECT (clock_timestamp() AT TIME ZONE 'UTC')::date")
    (day,) = cursor.fetchone()
    name = _partition(day)
    if _attached(cursor, name):
        return day  # type: ignore[no-any-return]
    cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended('staging.users/partitions', 0))")
    if not _attached(cursor, name):
        _become_owner(cursor)
        bounds = f"FROM ('{day}') TO ('{day + timedelta(days=1)}')"
        cursor.execute(f"CREATE TABLE {name} (LIKE staging.users INCLUDING DEFAULTS INCLUDING CONSTRAINTS)")
        cursor.execute(f"ALTER TABLE staging.users ATTACH PARTITION {name} FOR VALUES {bounds}")
    return day  # type: ignore[no-any-return]


def _become_owner(cursor: Any) -> None:
    """Until the transaction ends: partitions belong to the owner of their parent, not to the login that makes them."""
    cursor.execute(
        "SELECT set_config('role', tableowner, true) FROM pg_tables"
        " WHERE schemaname = 'staging' AND tablename = 'users'"
    )


def _attached(cursor: Any, partition: str) -> bool:
    """Asked of the catalogue itself: `to_regclass` would answer from a cache that a lock does not refresh."""
    cursor.execute(
        "SELECT EXISTS (SELECT FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid"
        " WHERE i.inhparent = 'staging.users'::regclass AND 'staging.' || c.relname = %s)",
        (partition,),
    )
    return bool(cursor.fetchone()[0])


def _recorded(cursor: Any, batch_id: str) -> Loaded | None:
    cursor.execute("SELECT fetched, staged, duplicates FROM staging.batches WHERE batch_id = %s", (batch_id,))
    counts = cursor.fetchone()
    return Loaded(batch_id, *counts) if counts else None


def _claim(cursor: Any, keys: list[str], staged_on: date, batch_id: str) -> dict[str, int]:
    """Ids of the keys that nobody staged before."""
    cursor.execute(
        """
        INSERT INTO staging.user_keys (user_key, id, staged_on, batch_id)
        SELECT key, nextval('staging.user_ids'), %s, %s FROM unnest(%s::uuid[]) AS key
        ON CONFLICT (user_key) DO NOTHING RETURNING user_key::text, id
        """,
        (staged_on, batch_id, keys),
    )
    return dict(cursor.fetchall())


def _copy(
    cursor: Any, page: Page, keyed: dict[str, bytes], ids: dict[str, int], staged_on: date, batch_id: str
) -> None:
    cursor.execute("SELECT staging.current_epoch(), (extract(epoch FROM clock_timestamp()) * 1000000)::bigint")
    epoch, version = cursor.fetchone()
    event_time = page.fetched_at.astimezone(UTC).isoformat(timespec="milliseconds")
    common = [str(value).encode() for value in (epoch, staged_on, version, event_time)] + [_escaped(batch_id.encode())]
    lines = (b"\t".join((b"%d" % id_, key.encode(), *common, _escaped(keyed[key]))) + b"\n" for key, id_ in ids.items())
    columns = "id, user_key, epoch, staged_on, version, event_time, batch_id, payload"
    cursor.copy_expert(f"COPY staging.users ({columns}) FROM STDIN", io.BytesIO(b"".join(lines)))


def _escaped(value: bytes) -> bytes:
    for plain, escape in _COPY_ESCAPES:
        value = value.replace(plain, escape)
    return value


def _enter(cursor: Any, page: Page, loaded: Loaded, dag_id: str, run_id: str) -> None:
    cursor.execute(
        """
        INSERT INTO staging.batches (batch_id, dag_id, run_id, seed, page, fetched, staged, duplicates, api_version,
                                     answer_sha256, answer_bytes, fetched_at)
        VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
        """,
        (loaded.batch_id, dag_id, run_id, page.seed, page.page, loaded.fetched, loaded.staged, loaded.duplicates,
         page.api_version, page.body_sha256, page.body_bytes, page.fetched_at),
    )  # fmt: skip


def _has_unpublished(cursor: Any, day: date, publisher: str) -> bool:
    cursor.execute(
        f"""
        SELECT EXISTS (
            SELECT FROM {_partition(day)} AS u LEFT JOIN staging.publisher AS p ON p.name = %s
            WHERE p.name IS NULL OR (u.epoch, u.xact_id, u.id) > (p.epoch, p.xact_id, p.id)
        )
        """,
        (publisher,),
    )
    return bool(cursor.fetchone()[0])
