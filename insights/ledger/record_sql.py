"""SQL about single records, shared by the full and the incremental check."""

from insights.ledger.digest import build_texts_digest_sql

STORED_DIGEST = build_texts_digest_sql(
    *("u.id", "u.user_key", "u.batch_id"), "(extract(epoch FROM u.event_time) * 1000)::bigint", "u.payload"
)
"""`digest_record` of a row `u` of `staging.users`."""


def build_rejected_sql(event_id: str) -> str:
    """Whether a record was quarantined instead of staged. The publisher's records of staged rows have TOO_LARGE."""
    return (
        f"EXISTS (SELECT FROM quarantine.records AS q WHERE q.event_id = {event_id}"
        f" AND q.origin = 'staging/' || {event_id} AND q.reason <> 'TOO_LARGE')"
    )


def build_landed_sql(event_id: str) -> str:
    """Whether a record is served, superseded or in quarantine, looked up by index."""
    return (
        f"(EXISTS (SELECT FROM analytics.users AS l WHERE l.event_id = {event_id})"
        f" OR EXISTS (SELECT FROM analytics.superseded AS l WHERE l.event_id = {event_id})"
        f" OR EXISTS (SELECT FROM quarantine.records AS l WHERE l.event_id = {event_id} AND l.resolved_at IS NULL))"
    )


def build_number_sql(event_id: str) -> str:
    """The id of the staged record that an event id names; null for an event of another producer."""
    return (
        f"CASE WHEN {event_id} ~ '^[0-9]{{1,19}}$' AND {event_id}::numeric < 9223372036854775808"
        f" THEN {event_id}::bigint END"
    )


def build_undone_sql(number: str) -> str:
    """Whether a staged id that no key has may be that of a row which a restore or a failover of PostgreSQL undid."""
    return f"EXISTS (SELECT FROM staging.epochs AS e WHERE {number} > e.ids_after AND {number} < e.ids_until)"


def build_known_sql(event_id: str) -> str:
    """Whether a record that a sink has was staged or, of another producer, can have been on the topic.

    An event of another producer is named by the coordinates of its message, which `topic_end` bounds.
    """
    return f"""
        CASE WHEN {event_id} ~ '^[0-9]+$'
        THEN EXISTS (SELECT FROM staging.user_keys AS k WHERE k.id = {build_number_sql(event_id)})
            OR {build_undone_sql(build_number_sql(event_id))}
        ELSE EXISTS (SELECT FROM topic_end AS e WHERE starts_with({event_id}, e.prefix)
            AND (e.high IS NULL OR substring({event_id} FROM '^.*/([0-9]{{1,19}})$')::numeric < e.high))
        END"""
