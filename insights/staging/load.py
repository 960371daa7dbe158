"""Load a page of the source into staging, in one transaction."""

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import partial
from typing import Any, NamedTuple, Protocol
from uuid import uuid5

from psycopg2.extensions import connection as PgConnection
from psycopg2.extensions import cursor as PgCursor

from insights import failpoints
from insights.clients import quarantine_table
from insights.clients.sql import fetch_row
from insights.model.batch import digest_page
from insights.model.canonical_json import parse_canonical
from insights.model.message import digest_record, to_epoch_milliseconds
from insights.model.quarantine import QuarantineRecord, RejectedRecord
from insights.model.raw_json import has_repeated_keys, make_object
from insights.model.user import RECORD_NAMESPACE, derive_record_key
from insights.staging.partitions import ensure_partition

CHANNEL = "insights_staged"
"""The `NOTIFY` channel of staged pages."""
_COPY_ESCAPES = ((b"\\", b"\\\\"), (b"\t", b"\\t"), (b"\n", b"\\n"), (b"\r", b"\\r"))


class _Stamp(NamedTuple):
    """What the rows of one transaction have in common. `version` is in microseconds."""

    epoch: int
    version: int


class SourcePage(Protocol):
    """A complete page of the source."""

    @property
    def batch_id(self) -> str:
        """Names all that was asked for."""

    @property
    def seed(self) -> str: ...
    @property
    def page(self) -> int: ...
    @property
    def records(self) -> Sequence[bytes]:
        """JSON texts in UTF-8, without credentials."""

    @property
    def rejected(self) -> Sequence[RejectedRecord]:
        """Rows that are not records."""

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
    """The counts of a loaded page; `duplicates` are rows whose key was claimed before or occurs twice in the page."""

    batch_id: str
    fetched: int
    staged: int
    duplicates: int
    quarantined: int


def load_page(connection: PgConnection, page: SourcePage, dag_id: str, run_id: str) -> LoadedPage:
    """Stage the new records of a page and quarantine its rejected rows, in one transaction.

    The transaction also has the page's ledger row and a notification. Loading a page with the same batch id again
    changes nothing and returns the counts of the first load.
    """
    failpoints.reach("fetch.page_received")
    records_by_key = _index_by_key(page.records)
    rejected_by_key = {str(uuid5(RECORD_NAMESPACE, f"rejected/{row.sha256}")): row for row in page.rejected}
    batch_id = page.batch_id
    with connection, connection.cursor() as cursor:
        staged_on = ensure_partition(cursor)
    failpoints.reach("stage.partition_committed")
    with connection, connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended('staging.batches/' || %s, 0))", (batch_id,))
        loaded = _find_loaded_page(cursor, batch_id)
        if loaded is None:
            # Before ids are assigned, which a new epoch's first page skips to.
            epoch = _read_epoch(cursor)
            # Sorted, so that transactions with overlapping pages do not deadlock.
            ids = _claim_keys(cursor, sorted([*records_by_key, *rejected_by_key]), staged_on, batch_id)
            staged = {key: id_ for key, id_ in ids.items() if key in records_by_key}
            stamp = _Stamp(epoch, _read_clock(cursor))
            _copy_rows(cursor, page, records_by_key, staged, staged_on, batch_id, stamp)
            _quarantine_rows(cursor, page, rejected_by_key, ids, batch_id, stamp)
            failpoints.reach("stage.rows_copied")
            fetched = len(page.records) + len(page.rejected)
            loaded = LoadedPage(batch_id, fetched, len(staged), fetched - len(ids), len(ids) - len(staged))
            _insert_ledger_row(cursor, page, loaded, dag_id, run_id)
            cursor.execute(f"NOTIFY {CHANNEL}")
            failpoints.reach("stage.page_recorded")
    failpoints.reach("stage.page_committed")
    return loaded


def is_loaded(connection: PgConnection, batch_id: str) -> bool:
    """Whether a page is in staging, or was."""
    with connection, connection.cursor() as cursor:
        return _find_loaded_page(cursor, batch_id) is not None


def _index_by_key(records: Sequence[bytes]) -> dict[str, bytes]:
    """The first record of each key."""
    records_by_key: dict[str, bytes] = {}
    for record in records:
        records_by_key.setdefault(_derive_key(record), record)
    return records_by_key


def _derive_key(record: bytes) -> str:
    """The key of a record. One that repeats a key is rejected by the stream, so it must not claim a user's key."""
    try:
        parsed = parse_canonical(record)
    except ValueError:
        parsed = _parse(record)
        if has_repeated_keys(parsed):
            return str(derive_record_key(None, record.decode))
    return str(derive_record_key(_get_login_uuid(parsed), partial(_spell_canonically, record)))


def _parse(record: bytes) -> Any:
    """Parse a record. Numbers stay text: Python does not parse integers of thousands of digits."""
    return json.loads(record, parse_int=str, parse_float=str, object_pairs_hook=make_object)


def _spell_canonically(record: bytes) -> str:
    return json.dumps(_parse(record), sort_keys=True, separators=(",", ":"))


def _get_login_uuid(record: Any) -> object:
    login = record.get("login") if isinstance(record, dict) else None
    return login.get("uuid") if isinstance(login, dict) else None


def _find_loaded_page(cursor: PgCursor, batch_id: str) -> LoadedPage | None:
    cursor.execute(
        "SELECT fetched, staged, duplicates, quarantined FROM staging.batches WHERE batch_id = %s", (batch_id,)
    )
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


def _read_epoch(cursor: PgCursor) -> int:
    cursor.execute("SELECT staging.current_epoch()")
    return int(fetch_row(cursor)[0])


def _read_clock(cursor: PgCursor) -> int:
    """The server's clock in microseconds."""
    cursor.execute("SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint")
    return int(fetch_row(cursor)[0])


def _copy_rows(
    cursor: PgCursor,
    page: SourcePage,
    records_by_key: dict[str, bytes],
    ids: dict[str, int],
    staged_on: date,
    batch_id: str,
    stamp: _Stamp,
) -> None:
    event_time = page.fetched_at.astimezone(UTC).isoformat(timespec="milliseconds")
    milliseconds = str(to_epoch_milliseconds(page.fetched_at))
    common = [str(value).encode() for value in (stamp.epoch, staged_on, stamp.version, event_time)]
    common.append(_escape(batch_id.encode()))
    lines = (
        b"\t".join(
            (
                b"%d" % id_,
                key.encode(),
                *common,
                b"%d" % digest_record(str(id_), key, batch_id, milliseconds, records_by_key[key]),
                _escape(records_by_key[key]),
            )
        )
        + b"\n"
        for key, id_ in ids.items()
    )
    columns = "id, user_key, epoch, staged_on, version, event_time, batch_id, digest, payload"
    cursor.copy_expert(f"COPY staging.users ({columns}) FROM STDIN", io.BytesIO(b"".join(lines)))


def _quarantine_rows(
    cursor: PgCursor,
    page: SourcePage,
    rejected_by_key: dict[str, RejectedRecord],
    ids: dict[str, int],
    batch_id: str,
    stamp: _Stamp,
) -> None:
    records = [
        QuarantineRecord(
            origin=f"staging/{ids[key]}",
            event_id=str(ids[key]),
            reason=row.reason,
            field=row.field,
            detail=row.detail,
            key=None,
            batch_id=batch_id,
            version=stamp.version,
            event_time=page.fetched_at,
            redrives=0,
            size=row.size,
            sha256=row.sha256,
            payload=row.payload,
        )
        for key, row in rejected_by_key.items()
        if key in ids
    ]
    quarantine_table.insert_records(cursor, records)


def _escape(value: bytes) -> bytes:
    for plain, escape in _COPY_ESCAPES:
        value = value.replace(plain, escape)
    return value


def _insert_ledger_row(cursor: PgCursor, page: SourcePage, loaded: LoadedPage, dag_id: str, run_id: str) -> None:
    row = {
        "batch_id": loaded.batch_id,
        "dag_id": dag_id,
        "run_id": run_id,
        "seed": page.seed,
        "page": page.page,
        "fetched": loaded.fetched,
        "staged": loaded.staged,
        "duplicates": loaded.duplicates,
        "quarantined": loaded.quarantined,
        "api_version": page.api_version,
        "answer_sha256": page.body_sha256,
        "answer_bytes": page.body_bytes,
    }
    row |= {"digest": digest_page(row), "fetched_at": page.fetched_at}
    cursor.execute(
        f"INSERT INTO staging.batches ({', '.join(row)}) VALUES ({', '.join(['%s'] * len(row))})", list(row.values())
    )
