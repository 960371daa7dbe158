"""The re-drive: publishes quarantined records again, corrected or unchanged, once the cause is fixed."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from psycopg2.extensions import connection as PgConnection
from psycopg2.extras import execute_values

from insights import failpoints
from insights.clients import connections
from insights.clients.sql import fetch_row
from insights.errors import UserError
from insights.model.message import RawMessage
from insights.model.raw_json import has_repeated_keys, make_object
from insights.model.reasons import Reason
from insights.model.redaction import redact
from insights.model.user import derive_record_key
from insights.repair.merge_patch import apply_merge_patch, names_user
from insights.repair.redrive_selection import MAX_REDRIVES, SELECT_NEWEST, RedriveSelection, count_selected
from insights.settings import PostgresSettings
from insights.text import format_count

FETCH_ROWS = 20
"""Records that memory holds at a time; each may be as large as a message."""
_APPLICATION = "redrive"
_LOCK = "hashtextextended('insights.redrive', 0)"
_LOOKUP_USERS = 1000
_NAMED = 3
_WITHHELD = b"null"
"""What `redact` leaves of a value in which it cannot tell the credentials from the rest."""

Publish = Callable[[Iterable[RawMessage]], int]
"""Produces messages and waits until all are acknowledged. Returns their number."""


@dataclass(frozen=True, slots=True)
class RedriveOutcome:
    """How many records were published, which were not and why (by origin), and how many the limit left out."""

    published: int
    skipped: Mapping[str, str]
    left_out: int


class _Record(NamedTuple):
    """An open record in quarantine."""

    origin: str
    event_id: str
    reason: str
    batch_id: str | None
    event_time: datetime
    version: int
    redrives: int
    size: int
    payload: memoryview | None
    redriven_at: datetime | None


@dataclass(frozen=True, slots=True)
class _Plan:
    """The origins of the records to publish with their event ids, and those to skip with the reason."""

    taken: dict[str, str] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)


def redrive(
    postgres: PostgresSettings,
    selection: RedriveSelection,
    patch: dict[str, Any] | None = None,
    *,
    publish: Publish | None,
    force: bool = False,
) -> RedriveOutcome:
    """Publish the selected records: patched, with the key of their `login.uuid` and a newer version.

    Args:
        postgres: has the records.
        selection: which records.
        patch: a JSON merge patch (RFC 7396).
        publish: None decides what a re-drive would publish, and publishes nothing.
        force: take also records that were re-driven `MAX_REDRIVES` times, or are on their way since another re-drive.

    Raises:
        UserError: PostgreSQL cannot be reached, another re-drive is running, the patch would give several records one
            user, a record that is selected by its id cannot be published, or none can. Nothing was published then.
            Also if the broker does not acknowledge every record.
    """
    with closing(connections.connect_postgres(postgres, _APPLICATION)) as connection:
        _lock(connection)
        connection.set_session(isolation_level="REPEATABLE READ")
        with connection, connection.cursor() as cursor:
            selected = count_selected(cursor, selection)
            if patch and names_user(patch) and selected > 1:
                raise UserError(
                    f"The patch sets login.uuid, which would make {format_count(selected, 'record')} one user:"
                    " select a single record. Nothing was published."
                )
            plan = _make_plan(connection, selection, patch, force)
            published = len(plan.taken)
            if publish is not None:
                published = publish(_read_messages(connection, selection, patch, plan))
        if publish is not None:
            _record_redrives(connection, plan, patched=bool(patch))
        return RedriveOutcome(published, plan.skipped, max(0, selected - selection.limit))


def _lock(connection: PgConnection) -> None:
    """Lock re-drives until the connection closes."""
    with connection, connection.cursor() as cursor:
        cursor.execute(f"SELECT pg_try_advisory_lock({_LOCK})")
        if not fetch_row(cursor)[0]:
            raise UserError("Another re-drive is running: wait until it ends. Nothing was published.")


def _make_plan(
    connection: PgConnection, selection: RedriveSelection, patch: dict[str, Any] | None, force: bool
) -> _Plan:
    plan = _Plan()
    users: dict[str, tuple[UUID, _Record]] = {}
    for record in _read_records(connection, selection):
        message = _make_message(record, patch, record.version + 1)
        cause = _find_obstacle(record, message, force)
        if message is None or cause:
            plan.skipped[record.origin] = cause
        else:
            plan.taken[record.origin] = record.event_id
            users[record.origin] = message.key, record._replace(payload=None)
        if len(users) >= _LOOKUP_USERS:
            _skip_superseded(connection, plan, users, bool(patch and names_user(patch)))
            users.clear()
    _skip_superseded(connection, plan, users, bool(patch and names_user(patch)))
    if plan.skipped and (selection.ids or not plan.taken):
        named = "; ".join(f"{origin}: {cause}" for origin, cause in list(plan.skipped.items())[:_NAMED])
        more = f"; and {len(plan.skipped) - _NAMED} more" if len(plan.skipped) > _NAMED else ""
        count = format_count(len(plan.skipped), "selected record")
        raise UserError(f"{count} cannot be published again ({named}{more}). Nothing was published.")
    return plan


def _read_records(connection: PgConnection, selection: RedriveSelection) -> Iterator[_Record]:
    """The selected records, oldest version first, so that of two records of a user the newer gets the newer version."""
    with connection.cursor("redrive") as cursor:
        cursor.itersize = FETCH_ROWS
        cursor.execute(
            f"SELECT * FROM ({SELECT_NEWEST} ORDER BY event_id LIMIT %(limit)s) AS newest ORDER BY version, event_id",
            selection.parameters() | {"limit": selection.limit},
        )
        for row in cursor:
            yield _Record(*row)


def _find_obstacle(record: _Record, message: RawMessage | None, force: bool) -> str:
    """Why a record cannot be published, as a clause; empty if it can."""
    if record.payload is None:
        return _explain_missing_payload(record)
    if bytes(record.payload) == _WITHHELD and record.size != len(_WITHHELD):
        return (
            "its payload was withheld, because its credentials could not be told apart; have its producer send it again"
        )
    if record.redrives >= MAX_REDRIVES and not force:
        return f"it was already re-driven {record.redrives} times; fix the cause, then force the re-drive"
    if record.redriven_at is not None and not force:
        return (
            f"it was re-driven at {record.redriven_at:%Y-%m-%d %H:%M:%S%z} and the stream has not decided about it yet;"
            " wait, or force the re-drive if its message is lost"
        )
    if message is None:
        return "its payload is not a JSON object and cannot be patched"
    return ""


def _explain_missing_payload(record: _Record) -> str:
    if record.reason != Reason.TOO_LARGE:
        return "its payload was not kept, only the size and the digest"
    if record.event_id.isdecimal():
        return (
            "the payload of a TOO_LARGE record is not kept; raise the size limit, then replay the period in which it"
            " was fetched"
        )
    return "the payload of a TOO_LARGE record is not kept; have its producer send it again, smaller"


def _skip_superseded(
    connection: PgConnection, plan: _Plan, users: dict[str, tuple[UUID, _Record]], renamed: bool
) -> None:
    """Skip records whose publication would replace newer content of their user, or any if a patch names the user."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT user_id::text, event_id, version FROM analytics.users WHERE user_id = ANY(%s::uuid[])",
            ([str(key) for key, _ in users.values()],),
        )
        served = {UUID(user_id): (event_id, version) for user_id, event_id, version in cursor.fetchall()}
    for origin, (key, record) in users.items():
        event_id, version = served.get(key, (record.event_id, 0))
        if event_id != record.event_id and (renamed or version > record.version):
            del plan.taken[origin]
            plan.skipped[origin] = f"it would replace user {key}, who is served from record {event_id}"


def _read_messages(
    connection: PgConnection, selection: RedriveSelection, patch: dict[str, Any] | None, plan: _Plan
) -> Iterator[RawMessage]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint")
        version = int(fetch_row(cursor)[0])
    for record in _read_records(connection, selection):
        if record.origin in plan.taken:
            version = max(version, record.version) + 1
            message = _make_message(record, patch, version)
            if message is not None:
                yield message


def _make_message(record: _Record, patch: dict[str, Any] | None, version: int) -> RawMessage | None:
    """The record as a message; None if it has no payload or one that cannot be patched."""
    if record.payload is None:
        return None
    payload = bytes(record.payload)
    document: Any = None
    try:
        document = json.loads(payload, object_pairs_hook=make_object)
        if patch:
            if not isinstance(document, dict):
                return None
            document = apply_merge_patch(document, patch)
            payload = json.dumps(document, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
    except (ValueError, RecursionError):
        if patch:
            return None
    payload = redact(payload)  # A record of an earlier version, or the patch, may hold credentials.
    if has_repeated_keys(document):
        document = None
    login = document.get("login") if isinstance(document, dict) else None
    login_uuid = login.get("uuid") if isinstance(login, dict) else None
    key = derive_record_key(login_uuid, lambda: payload.decode("utf-8", "replace"))
    return RawMessage(
        record.event_id, key, payload, record.batch_id or "", version, record.event_time, record.redrives + 1
    )


def _record_redrives(connection: PgConnection, plan: _Plan, patched: bool) -> None:
    """Record what is on its way, so that no other re-drive takes it before the stream has decided."""
    with connection, connection.cursor() as cursor:
        execute_values(
            cursor,
            "INSERT INTO quarantine.redrives (origin, event_id, patched) VALUES %s",
            [(origin, event_id, patched) for origin, event_id in plan.taken.items()],
        )
    failpoints.reach("redrive.recorded")
