"""Load a page of the source into staging, in one transaction."""

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Protocol

from psycopg2.extensions import connection as PgConnection
from psycopg2.extensions import cursor as PgCursor

from insights import failpoints
from insights.clients.sql import fetch_row
from insights.model.user import derive_record_key
from insights.staging.partitions import ensure_partition

CHANNEL = "insights_staged"
"""The `NOTIFY` channel of staged pages."""
_COPY_ESCAPES = ((b"\\", b"\\\\"), (b"\t", b"\\t"), (b"\n", b"\\n"), (b"\r", b"\\r"))


class SourcePage(Protocol):
    """A complete page of the source."""

    @property
    def seed(self) -> str: ...
    @property
    def page(self) -> int: ...
    @property
    def records(self) -> Sequence[bytes]:
        """JSON texts in UTF-8, without credentials."""

    @property
    def api_version(self) -> str: ...
    @property
    def fetched_at(self) -> datetime: ...
    @property
    def body_sha256(self) -> str: ...
    @property
    def body_bytes(self) -> int: ...


@dataclass(frozen=True, slots=True)
class LoadedPage:
    """The counts of a loaded page; `duplicates` are records whose key was staged before or occurs twice in the page."""

    batch_id: str
    fetched: int
    staged: int
    duplicates: int


def load_page(connection: PgConnection, page: SourcePage, dag_id: str, run_id: str) -> LoadedPage:
    """Stage the new records of a page, with the page's ledger row and a notification, in one transaction.

    Loading a page with the same seed and number again changes nothing and returns the counts of the first load.
    """
    failpoints.reach("fetch.page_received")
    records_by_key = _index_by_key(page.records)
    batch_id = f"{page.seed}/{page.page}"
    with connection, connection.cursor() as cursor:
        staged_on = ensure_partition(cursor)
    failpoints.reach("stage.partition_committed")
    with connection, connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended('staging.batches/' || %s, 0))", (batch_id,))
        loaded = _find_loaded_page(cursor, batch_id)
        if loaded is None:
            ids = _claim_keys(cursor, list(records_by_key), staged_on, batch_id)
            _copy_rows(cursor, page, records_by_key, ids, staged_on, batch_id)
            failpoints.reach("stage.rows_copied")
            loaded = LoadedPage(batch_id, len(page.records), len(ids), len(page.records) - len(ids))
            _insert_ledger_row(cursor, page, loaded, dag_id, run_id)
            cursor.execute(f"NOTIFY {CHANNEL}")
            failpoints.reach("stage.page_recorded")
    failpoints.reach("stage.page_committed")
    return loaded


def _index_by_key(records: Sequence[bytes]) -> dict[str, bytes]:
    """The first record of each key, sorted by key so that transactions with overlapping pages do not deadlock."""
    records_by_key: dict[str, bytes] = {}
    for record in records:
        records_by_key.setdefault(_derive_key(record), record)
    return dict(sorted(records_by_key.items()))


def _derive_key(record: bytes) -> str:
    # Numbers stay text: Python does not parse integers of thousands of digits.
    parsed = json.loads(record, parse_int=str, parse_float=str)
    login = parsed.get("login") if isinstance(parsed, dict) else None
    login_uuid = login.get("uuid") if isinstance(login, dict) else None
    return str(derive_record_key(login_uuid, lambda: json.dumps(parsed, sort_keys=True, separators=(",", ":"))))


def _find_loaded_page(cursor: PgCursor, batch_id: str) -> LoadedPage | None:
    cursor.execute("SELECT fetched, staged, duplicates FROM staging.batches WHERE batch_id = %s", (batch_id,))
    counts = cursor.fetchone()
    return LoadedPage(batch_id, *counts) if counts else None


def _claim_keys(cursor: PgCursor, keys: list[str], staged_on: date, batch_id: str) -> dict[str, int]:
    """Insert the keys that are new. Returns their ids by key."""
    cursor.execute(
        """
        INSERT INTO staging.user_keys (user_key, id, staged_on, batch_id)
        SELECT key, nextval('staging.user_ids'), %s, %s FROM unnest(%s::uuid[]) AS key
        ON CONFLICT (user_key) DO NOTHING RETURNING user_key::text, id
        """,
        (staged_on, batch_id, keys),
    )
    return dict(cursor.fetchall())


def _copy_rows(
    cursor: PgCursor,
    page: SourcePage,
    records_by_key: dict[str, bytes],
    ids: dict[str, int],
    staged_on: date,
    batch_id: str,
) -> None:
    cursor.execute("SELECT staging.current_epoch(), (extract(epoch FROM clock_timestamp()) * 1000000)::bigint")
    epoch, version = fetch_row(cursor)
    event_time = page.fetched_at.astimezone(UTC).isoformat(timespec="milliseconds")
    common = [str(value).encode() for value in (epoch, staged_on, version, event_time)] + [_escape(batch_id.encode())]
    lines = (
        b"\t".join((b"%d" % id_, key.encode(), *common, _escape(records_by_key[key]))) + b"\n"
        for key, id_ in ids.items()
    )
    columns = "id, user_key, epoch, staged_on, version, event_time, batch_id, payload"
    cursor.copy_expert(f"COPY staging.users ({columns}) FROM STDIN", io.BytesIO(b"".join(lines)))


def _escape(value: bytes) -> bytes:
    for plain, escape in _COPY_ESCAPES:
        value = value.replace(plain, escape)
    return value


def _insert_ledger_row(cursor: PgCursor, page: SourcePage, loaded: LoadedPage, dag_id: str, run_id: str) -> None:
    cursor.execute(
        """
        INSERT INTO staging.batches (batch_id, dag_id, run_id, seed, page, fetched, staged, duplicates, api_version,
                                     answer_sha256, answer_bytes, fetched_at)
        VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
        """,
        (
            loaded.batch_id,
            dag_id,
            run_id,
            page.seed,
            page.page,
            loaded.fetched,
            loaded.staged,
            loaded.duplicates,
            page.api_version,
            page.body_sha256,
            page.body_bytes,
            page.fetched_at,
        ),
    )
