"""Publish quarantined records again, corrected or as they are, after the cause was mended."""

import json
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

from insights import connections
from insights.message import RawMessage
from insights.record import Reason, record_key
from insights.settings import PostgresSettings

MOST_REDRIVES = 3
"""A record refused this often is not tried again unless forced."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Which open records: of a reason, or of these event ids or origins, or all."""

    reason: Reason | None = None
    ids: Sequence[str] = ()
    limit: int = 10_000


@dataclass(slots=True)
class Prepared:
    """Messages to publish, and why the others are not: origin and sentence."""

    messages: list[RawMessage] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)


def prepare(
    postgres: PostgresSettings, selection: Selection, patch: dict[str, Any] | None = None, *, force: bool = False
) -> Prepared:
    """The selected records as messages: patched, under the key of their `login.uuid`, with a newer version.

    `patch` is a JSON merge patch (RFC 7396). `force` also takes records that were re-driven `MOST_REDRIVES` times.

    Raises:
        UserError: PostgreSQL cannot be reached.
    """
    prepared = Prepared()
    with closing(connections.postgres(postgres, "redrive")) as connection, connection.cursor() as cursor:
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
        for row in cursor.fetchall():
            origin, redrives, payload = row[0], row[5], row[6]
            if payload is None:
                prepared.refused[origin] = f"the payload of a {row[2]} record is not kept; fetch its page again"
            elif redrives >= MOST_REDRIVES and not force:
                prepared.refused[origin] = f"it was re-driven {redrives} times already; mend the cause, then force it"
            else:
                _add(prepared, row, bytes(payload), patch)
    return prepared


def _add(prepared: Prepared, row: Sequence[Any], payload: bytes, patch: dict[str, Any] | None) -> None:
    origin, event_id, _, batch_id, event_time, redrives, _, version = row
    document: Any = None
    try:
        document = json.loads(payload)
        if patch:
            document = merge_patch(document, patch)
            payload = json.dumps(document, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
    except (ValueError, RecursionError):
        if patch:
            prepared.refused[origin] = "its payload is not JSON that could be patched"
            return
    login = document.get("login") if isinstance(document, dict) else None
    login_uuid = login.get("uuid") if isinstance(login, dict) else None
    key = record_key(login_uuid, lambda: payload.decode("utf-8", "replace"))
    prepared.messages.append(RawMessage(event_id, key, payload, batch_id or "", version, event_time, redrives + 1))


def merge_patch(target: Any, patch: Any) -> Any:
    """RFC 7396: objects are merged, null removes, anything else replaces."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = merge_patch(merged.get(name), value)
    return merged
