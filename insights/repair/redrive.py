"""The re-drive: publishes quarantined records again, corrected or unchanged, once the cause is fixed."""

import json
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from insights.clients import connections
from insights.model.message import RawMessage
from insights.model.raw_json import RepeatedKeys, has_repeated_keys, make_object
from insights.model.reasons import Reason
from insights.model.redaction import redact
from insights.model.user import derive_record_key
from insights.settings import PostgresSettings

MAX_REDRIVES = 3
"""A record that was re-driven this many times is skipped unless forced."""
FETCH_ROWS = 20
"""Records that memory holds at a time; each may be as large as a message."""


@dataclass(frozen=True, slots=True)
class RedriveSelection:
    """Which open records to re-drive: those with `reason` and with one of `ids` (event ids or origins), if given."""

    reason: Reason | None = None
    ids: Sequence[str] = ()
    limit: int = 10_000


@dataclass(frozen=True, slots=True)
class RedriveMessages:
    """The messages of a re-drive, read lazily and only once.

    `skipped` holds the origins of the records that are not published, each with the reason; it is complete once the
    messages have been consumed.
    """

    messages: Iterator[RawMessage]
    skipped: dict[str, str]


def prepare_redrive(
    postgres: PostgresSettings, selection: RedriveSelection, patch: dict[str, Any] | None = None, *, force: bool = False
) -> RedriveMessages:
    """Turn the selected records into messages: patched, with the key of their `login.uuid` and a newer version.

    `patch` is a JSON merge patch (RFC 7396). `force` includes records that were re-driven `MAX_REDRIVES` times.

    Raises:
        UserError: PostgreSQL cannot be reached; raised when the messages are consumed.
    """
    skipped: dict[str, str] = {}
    return RedriveMessages(_read_messages(postgres, selection, patch, force, skipped), skipped)


def _read_messages(
    postgres: PostgresSettings,
    selection: RedriveSelection,
    patch: dict[str, Any] | None,
    force: bool,
    skipped: dict[str, str],
) -> Iterator[RawMessage]:
    with (
        closing(connections.connect_postgres(postgres, "redrive")) as connection,
        connection.cursor("redrive") as cursor,
    ):
        cursor.itersize = FETCH_ROWS
        cursor.execute(
            """
            SELECT DISTINCT ON (event_id) origin, event_id, reason, batch_id, event_time, redrives, payload,
                   greatest((extract(epoch FROM clock_timestamp()) * 1000000)::bigint, version + 1)
            FROM quarantine.records
            WHERE resolved_at IS NULL AND (%(reason)s::text IS NULL OR reason = %(reason)s)
            AND (%(ids)s::text[] = '{}' OR event_id = ANY(%(ids)s) OR origin = ANY(%(ids)s))
            ORDER BY event_id, version DESC, redrives DESC LIMIT %(limit)s
            """,
            {"reason": selection.reason, "ids": list(selection.ids), "limit": selection.limit},
        )
        for row in cursor:
            origin, redrives, payload = row[0], row[5], row[6]
            if payload is None:
                skipped[origin] = _explain_missing_payload(row[2])
            elif redrives >= MAX_REDRIVES and not force:
                skipped[origin] = f"it was already re-driven {redrives} times; fix the cause, then force the re-drive"
            elif (message := _make_message(row, bytes(payload), patch)) is None:
                skipped[origin] = "its payload is not valid JSON and cannot be patched"
            else:
                yield message


def _explain_missing_payload(reason: str) -> str:
    if reason == Reason.TOO_LARGE:
        return (
            "the payload of a TOO_LARGE record is not kept; raise the size limit, then replay the period in which it"
            " was fetched"
        )
    return "the record has no payload"


def _make_message(row: Sequence[Any], payload: bytes, patch: dict[str, Any] | None) -> RawMessage | None:
    """The record as a message; None if its payload cannot be patched."""
    _, event_id, _, batch_id, event_time, redrives, _, version = row
    document: Any = None
    try:
        document = json.loads(payload, object_pairs_hook=make_object)
        if patch:
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
    return RawMessage(event_id, key, payload, batch_id or "", version, event_time, redrives + 1)


def apply_merge_patch(target: Any, patch: Any) -> Any:
    """Apply a JSON merge patch (RFC 7396): objects are merged, null removes a member, any other value replaces.

    A member of the patch replaces every member of the target that repeats its key.
    """
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = apply_merge_patch(merged.get(name), value)
    if isinstance(target, RepeatedKeys):
        kept = [(name, value) for name, value in target.items() if name not in patch]
        return make_object(kept + [(name, merged[name]) for name in patch if name in merged])
    return merged
