"""Which quarantine records a re-drive takes, and why it takes no others."""

from collections.abc import Sequence
from dataclasses import dataclass

from psycopg2.extensions import cursor as PgCursor

from insights.clients.sql import fetch_row
from insights.errors import UserError
from insights.model.reasons import Reason
from insights.text import format_count

MAX_REDRIVES = 3
"""A record that was re-driven this many times is taken only by force."""
MAX_RECORDS = 10_000
"""Records that a re-drive takes unless a limit is given."""
_NAMED = 3

_OPEN = "resolved_at IS NULL AND (%(reason)s::text IS NULL OR reason = %(reason)s)"
_NEWER = (
    "n.event_id = r.event_id AND n.resolved_at IS NULL"
    " AND (n.version, n.redrives, n.origin) > (r.version, r.redrives, r.origin)"
)
SELECT_NEWEST = f"""
    SELECT origin, event_id, reason, batch_id, event_time, version, redrives, size, payload,
        (SELECT max(redriven_at) FROM quarantine.redrives AS d WHERE d.origin = r.origin) AS redriven_at
    FROM quarantine.records AS r
    WHERE {_OPEN} AND (%(ids)s::text[] = '{{}}' OR event_id = ANY(%(ids)s) OR origin = ANY(%(ids)s))
    AND NOT EXISTS (SELECT FROM quarantine.records AS n WHERE {_NEWER})
"""
"""The selected records, without those whose event was rejected again since."""


@dataclass(frozen=True, slots=True)
class RedriveSelection:
    """Which open records to re-drive: those with `reason` and with one of `ids` (event ids or origins), if given."""

    reason: Reason | None = None
    ids: Sequence[str] = ()
    limit: int = MAX_RECORDS

    def __post_init__(self) -> None:
        if self.reason is None and not self.ids:
            raise UserError("Nothing is selected: give --reason or --id (in Airflow, the parameter reason or ids).")
        if len(set(self.ids)) > self.limit:
            raise UserError(f"--limit {self.limit} is less than the {len(set(self.ids))} ids given; give a higher one.")

    def parameters(self) -> dict[str, object]:
        """The parameters of `SELECT_NEWEST`."""
        return {"reason": self.reason, "ids": list(self.ids)}


def count_selected(cursor: PgCursor, selection: RedriveSelection) -> int:
    """Count the open records of a selection, regardless of its limit.

    Raises:
        UserError: there is none, or an id does not select an open record.
    """
    for sentence in _explain_unselected(cursor, selection):
        raise UserError(f"{sentence} Nothing was published.")
    cursor.execute(f"SELECT count(*) FROM ({SELECT_NEWEST}) AS newest", selection.parameters())
    count = int(fetch_row(cursor)[0])
    if not count:
        raise UserError(f"No record in quarantine is open with reason {selection.reason}; nothing was published.")
    return count


def _explain_unselected(cursor: PgCursor, selection: RedriveSelection) -> list[str]:
    """A sentence for each kind of ids that select no record."""
    if not selection.ids:
        return []
    cursor.execute(
        f"""
        SELECT id, count(r.origin), count(r.origin) FILTER (WHERE resolved_at IS NULL),
            count(r.origin) FILTER (WHERE {_OPEN}), count(r.origin) FILTER (WHERE {_OPEN} AND newer IS NULL), max(newer)
        FROM unnest(%(ids)s::text[]) AS id LEFT JOIN quarantine.records AS r ON id IN (r.event_id, r.origin)
        LEFT JOIN LATERAL (SELECT max(n.origin) FROM quarantine.records AS n WHERE {_NEWER}) AS others(newer) ON true
        GROUP BY id ORDER BY id
        """,
        selection.parameters(),
    )
    unknown, resolved, other, outdated = [], [], [], []
    for id_, known, unresolved, with_reason, newest, newer in cursor.fetchall():
        if not known:
            unknown.append(id_)
        elif not unresolved:
            resolved.append(id_)
        elif not with_reason:
            other.append(id_)
        elif not newest:
            outdated.append(f"{id_} (as {newer})")
    kinds = (
        (unknown, "No record in quarantine has the event id or origin {}."),
        (resolved, "Already resolved: {}."),
        (other, f"Not rejected with reason {selection.reason}: {{}}."),
        (outdated, "Rejected again since: {}; select the newest rejection."),
    )
    return [sentence.format(_join(ids)) for ids, sentence in kinds if ids]


def _join(ids: Sequence[str]) -> str:
    more = len(ids) - _NAMED
    return ", ".join(ids[:_NAMED]) + (f" and {format_count(more, 'other')}" if more > 0 else "")
