"""The hops from the source to the sinks: sets of event ids, compared in PostgreSQL, not in memory."""

from collections.abc import Iterable, Mapping

from psycopg2.extensions import cursor as PgCursor

from insights.clients.sql import fetch_row
from insights.clients.stream_position import Watermarks
from insights.ledger.digest import build_texts_digest_sql
from insights.ledger.flow_state import BEYOND_CURSOR, PUBLISHER
from insights.ledger.hops import MAX_NAMED_IDS, Hop, evaluate_hop, list_uncovered
from insights.ledger.record_sql import STORED_DIGEST, build_number_sql
from insights.ledger.scratch import copy_lines
from insights.ledger.topic import TopicEvent
from insights.model.batch import PAGE_DIGESTED

CREATE_SCRATCH_TABLES = """
    CREATE TEMP TABLE topic_message (partition integer, "offset" bigint, event_id text, digest bigint);
    CREATE TEMP TABLE topic_end (prefix text, high bigint);
    CREATE TEMP TABLE topic_span (partition integer, staged_before bigint, read_until bigint);
    CREATE TEMP TABLE topic_event
        (event_id text, staged boolean, unread boolean, least_digest bigint, greatest_digest bigint);
    CREATE TEMP TABLE staged_event
        (event_id text, published boolean, pending boolean, recorded_digest bigint, stored_digest bigint);
    CREATE TEMP TABLE landed_event (event_id text, place text);
    CREATE TEMP TABLE undone_event (event_id text);
    CREATE TEMP TABLE published_event (event_id text);
    CREATE TEMP TABLE arrival (user_id uuid, arrived_version bigint, arrived_digest bigint);
"""
"""Executed before the transaction of the snapshot, which is read-only."""

_IS_PRUNED = "EXISTS (SELECT FROM staging.pruned AS p WHERE p.staged_on = k.staged_on)"
_REJECTED = """
    (SELECT event_id FROM quarantine.records WHERE origin = 'staging/' || event_id AND reason <> 'TOO_LARGE') AS q
"""
"""Rows that were quarantined instead of staged. The publisher's records of staged rows have TOO_LARGE."""
_IS_OTHERS = "event_id !~ '^[0-9]+$'"
_IS_UNDONE = "event_id IN (SELECT event_id FROM undone_event)"
_IS_FOREIGN = f"({_IS_OTHERS} OR {_IS_UNDONE})"
"""Of an event: it has no staged row and need not have one. It is another producer's, or a restore undid its row."""


_FILL_UNDONE = f"""
    INSERT INTO undone_event
    SELECT DISTINCT event_id
    FROM staging.epochs AS e
    JOIN (
        SELECT event_id, {build_number_sql("event_id")} AS number
        FROM (SELECT event_id FROM topic_event UNION ALL SELECT event_id FROM landed_event) AS events
    ) AS numbered ON number > e.ids_after AND number < e.ids_until
    WHERE NOT EXISTS (SELECT FROM staging.user_keys AS k WHERE k.id = number);
    ANALYZE undone_event;
"""


def load_messages(
    cursor: PgCursor, events: Iterable[TopicEvent], watermarks_before: Watermarks, stream_offsets: Mapping[int, int]
) -> None:
    """Fill `topic_message` and `topic_span`, in place of what they have.

    Args:
        cursor: reads the snapshot.
        events: the messages.
        watermarks_before: taken before the snapshot, so that a message below them was staged before it.
        stream_offsets: the end offset of the merged batches, by partition.
    """
    cursor.execute("DELETE FROM topic_message; DELETE FROM topic_span")
    copy_lines(cursor, "topic_message", map(_format_line, events))
    spans = "".join(
        f"{partition}\t{high}\t{stream_offsets.get(partition, 0)}\n"
        for partition, (_, high) in watermarks_before.items()
    )
    copy_lines(cursor, "topic_span", [spans])


def fill_topic_ends(cursor: PgCursor, topic: str, watermarks: Watermarks) -> None:
    """Fill `topic_end` with what the names of the topic's messages begin with, and the end of each partition.

    A message that retention may have removed can have any name.
    """
    pruned = any(low > 0 for low, _ in watermarks.values())
    ends = [(f"{topic}/{partition}/", high) for partition, (_, high) in watermarks.items()]
    for prefix, high in [("", None)] if pruned else ends:
        cursor.execute("INSERT INTO topic_end VALUES (%s, %s)", (prefix, high))


def group_messages(cursor: PgCursor) -> None:
    """Fill `topic_event` from `topic_message`, by event id."""
    cursor.execute("""
        INSERT INTO topic_event
        SELECT event_id, bool_or("offset" < staged_before), bool_and("offset" >= read_until), min(digest), max(digest)
        FROM topic_message JOIN topic_span USING (partition) GROUP BY event_id;
        ANALYZE topic_event;
    """)


def load_events(cursor: PgCursor, topic: str) -> None:
    """Fill the scratch tables with the event ids of the topic's messages, of staging and of the sinks.

    Args:
        cursor: reads the snapshot, and has the messages in `topic_message`.
        topic: the name of the publisher's cursor.
    """
    group_messages(cursor)
    cursor.execute("""
        INSERT INTO landed_event
        SELECT event_id, min(place)
        FROM (SELECT event_id, '1 served' AS place FROM analytics.users
              UNION ALL SELECT event_id, '2 superseded' FROM analytics.superseded
              UNION ALL SELECT event_id, '3 quarantined' FROM quarantine.records WHERE resolved_at IS NULL) AS landed
        GROUP BY event_id;
        ANALYZE landed_event;
    """)
    cursor.execute(
        f"""
        INSERT INTO staged_event
        SELECT event_id, arrived, beyond AND NOT arrived, recorded_digest, stored_digest
        FROM (SELECT s.event_id, s.beyond, recorded_digest, stored_digest,
                     t.event_id IS NOT NULL OR l.event_id IS NOT NULL
                     OR EXISTS (SELECT FROM quarantine.records AS q WHERE q.event_id = s.event_id) AS arrived
              FROM (SELECT coalesce(u.id, k.id)::text AS event_id, coalesce({BEYOND_CURSOR}, false) AS beyond,
                           u.digest AS recorded_digest,
                           CASE WHEN u.id IS NOT NULL THEN {STORED_DIGEST} END AS stored_digest
                    FROM staging.users AS u FULL JOIN staging.user_keys AS k ON k.id = u.id CROSS JOIN {PUBLISHER}) AS s
              LEFT JOIN topic_event AS t USING (event_id) LEFT JOIN landed_event AS l USING (event_id)) AS staged;
        ANALYZE staged_event;
        """,
        {"topic": topic},
    )
    cursor.execute("SELECT EXISTS (SELECT FROM staging.epochs WHERE ids_after IS NOT NULL)")
    if fetch_row(cursor)[0]:
        cursor.execute(_FILL_UNDONE)


def _format_line(event: TopicEvent) -> str:
    digest = r"\N" if event.digest is None else event.digest
    return f"{event.partition}\t{event.offset}\t{event.event_id}\t{digest}\n"


def check_fetched(cursor: PgCursor) -> Hop:
    """Check that every fetched row is staged or quarantined under a key or was a duplicate, and pages are unchanged."""
    cursor.execute(
        "SELECT coalesce(sum(fetched), 0), coalesce(sum(duplicates), 0), coalesce(sum(quarantined), 0),"
        " count(*) - count(digest) FROM staging.batches"
    )
    total, duplicates, quarantined, unrecorded = map(int, fetch_row(cursor))
    cursor.execute("SELECT count(*) FROM staging.user_keys")
    (keys,) = fetch_row(cursor)
    missing = _select_ids(
        cursor,
        "SELECT id FROM staging.users AS u WHERE NOT EXISTS "
        "(SELECT FROM staging.user_keys AS k WHERE k.id = u.id) ORDER BY id",
    )
    missing += _select_ids(
        cursor,
        """
        SELECT 'page ' || b.batch_id FROM staging.batches AS b
        LEFT JOIN (SELECT batch_id, count(*) AS keys FROM staging.user_keys GROUP BY 1) AS k USING (batch_id)
        LEFT JOIN (SELECT batch_id, count(*) AS rows FROM staging.users GROUP BY 1) AS u USING (batch_id)
        WHERE b.staged + b.quarantined > greatest(coalesce(keys, 0), coalesce(rows, 0) + b.quarantined) ORDER BY 1""",
    )
    extra = _select_ids(
        cursor,
        """
        SELECT id FROM staging.user_keys AS k
        WHERE NOT EXISTS (SELECT FROM staging.batches AS b WHERE b.batch_id = k.batch_id) ORDER BY id""",
    )
    return evaluate_hop(
        "fetched",
        "fetched = staged + duplicates + quarantined",
        total,
        keys + duplicates,
        missing=missing[:MAX_NAMED_IDS],
        extra=extra,
        changed=_select_ids(
            cursor,
            "SELECT 'page ' || batch_id FROM staging.batches"
            f" WHERE digest <> {build_texts_digest_sql(*PAGE_DIGESTED)} ORDER BY batch_id",
        ),
        uncovered=list_uncovered(
            (unrecorded, "page staged before digests were recorded", "pages staged before digests were recorded")
        ),
        holds=f"{total:,} fetched = {keys - quarantined:,} staged + {duplicates:,} duplicates"
        f" + {quarantined:,} quarantined.",
    )


def check_staged(cursor: PgCursor) -> Hop:
    """Check that every key has its staged row, as it was staged, or, for a rejected row, its quarantine record.

    Retention may have dropped the partition of the key's day.
    """
    cursor.execute(f"SELECT count(*), count(*) FILTER (WHERE NOT ({_IS_PRUNED})) FROM staging.user_keys AS k")
    keys, unpruned = fetch_row(cursor)
    cursor.execute(f"""
        SELECT count(*) FROM staging.user_keys AS k JOIN {_REJECTED} ON q.event_id = k.id::text
        WHERE NOT ({_IS_PRUNED})""")
    (rejected,) = fetch_row(cursor)
    cursor.execute("SELECT count(stored_digest), count(stored_digest) - count(recorded_digest) FROM staged_event")
    rows, unrecorded = fetch_row(cursor)
    missing = _select_ids(
        cursor,
        f"""
        SELECT id FROM staging.user_keys AS k WHERE NOT ({_IS_PRUNED})
        AND NOT EXISTS (SELECT FROM staging.users AS u WHERE u.id = k.id)
        AND NOT EXISTS (SELECT FROM {_REJECTED} WHERE q.event_id = k.id::text) ORDER BY id""",
    )
    extra = _select_ids(
        cursor,
        """
        SELECT id FROM staging.users AS u
        WHERE NOT EXISTS (SELECT FROM staging.user_keys AS k WHERE k.id = u.id) ORDER BY id""",
    )
    return evaluate_hop(
        "staged",
        "keys = staging rows + quarantined + pruned",
        keys,
        rows + rejected + keys - unpruned,
        missing=missing,
        extra=extra,
        changed=_select_ids(
            cursor,
            "SELECT event_id FROM staged_event WHERE stored_digest <> recorded_digest ORDER BY event_id::numeric",
        ),
        holds=f"{keys:,} keys = {rows:,} rows kept + {rejected:,} quarantined"
        f" + {keys - unpruned:,} dropped by retention.",
        uncovered=list_uncovered(
            (keys - unpruned, "row that retention dropped", "rows that retention dropped"),
            (unrecorded, "row staged before digests were recorded", "rows staged before digests were recorded"),
        ),
    )


def check_published(cursor: PgCursor) -> Hop:
    """Check that every staged record is on the topic, as it was staged, or has left it and reached a sink."""
    cursor.execute(f"""
        SELECT count(*), count(*) FILTER (WHERE published), count(*) FILTER (WHERE pending),
               (SELECT count(*) FROM topic_event WHERE {_IS_OTHERS}),
               (SELECT count(*) FROM topic_event WHERE {_IS_UNDONE}) FROM staged_event""")
    total, arrived, pending, others, undone = fetch_row(cursor)
    unpublished = "SELECT event_id FROM staged_event WHERE NOT published AND NOT pending"
    missing = _select_ids(cursor, f"{unpublished} ORDER BY event_id::numeric")
    extra = _select_ids(
        cursor,
        f"""
        SELECT event_id FROM topic_event AS t WHERE NOT ({_IS_FOREIGN}) AND staged
        AND NOT EXISTS (SELECT FROM staged_event AS s WHERE s.event_id = t.event_id)
        ORDER BY event_id::numeric""",
    )
    changed = _select_ids(
        cursor,
        """
        SELECT event_id FROM staged_event JOIN topic_event USING (event_id)
        WHERE coalesce(recorded_digest, stored_digest) NOT IN (least_digest, greatest_digest)
        OR least_digest <> greatest_digest ORDER BY event_id::numeric""",
    )
    cursor.execute("""
        SELECT count(*) FROM staged_event LEFT JOIN topic_event USING (event_id)
        WHERE published AND stored_digest IS NOT NULL AND least_digest IS NULL""")
    (gone,) = fetch_row(cursor)
    added = f" + {others:,} from other producers" if others else ""
    added += f" + {undone:,} of undone rows" if undone else ""
    foreign = others + undone
    return evaluate_hop(
        "published",
        "staged + foreign = published",
        total + foreign,
        arrived + foreign,
        pending=pending,
        missing=missing,
        extra=extra,
        changed=changed,
        holds=f"{total:,} staged{added} = {arrived + foreign:,} published.",
        uncovered=list_uncovered(
            (gone, "row whose message has left the topic", "rows whose messages have left the topic"),
            (
                undone,
                "message whose row a restore or a failover of PostgreSQL undid",
                "messages whose rows a restore or a failover of PostgreSQL undid",
            ),
        ),
        remedy=_name_replay(cursor, unpublished) if missing else "",
    )


_FILL_PUBLISHED = f"""
    INSERT INTO published_event
    SELECT event_id FROM staged_event WHERE published
    UNION SELECT event_id FROM topic_event WHERE {_IS_FOREIGN}
    UNION SELECT event_id FROM landed_event WHERE {_IS_UNDONE} OR {_IS_OTHERS} AND %s;
    ANALYZE published_event;
"""


def check_served(cursor: PgCursor, pruned: bool) -> Hop:
    """Check that every published record is served, superseded by a newer record of its user, or in quarantine.

    `pruned`: whether retention has removed messages from the topic; a record in a sink may then be absent from it.
    """
    cursor.execute(_FILL_PUBLISHED, (pruned,))
    from_undelivered = """FROM published_event
        LEFT JOIN landed_event AS l USING (event_id) LEFT JOIN topic_event AS t USING (event_id)
        WHERE l.event_id IS NULL AND {}coalesce(t.unread, false)"""
    cursor.execute("SELECT count(*) FROM published_event")
    (total,) = fetch_row(cursor)
    cursor.execute(f"SELECT count(*) {from_undelivered.format('')}")
    (pending,) = fetch_row(cursor)
    cursor.execute("SELECT place, count(*) FROM landed_event GROUP BY place")
    counts = dict(cursor.fetchall())
    served, superseded, quarantined = (counts.get(name, 0) for name in ("1 served", "2 superseded", "3 quarantined"))
    undelivered = f"SELECT event_id {from_undelivered.format('NOT ')}"
    missing = _select_ids(cursor, f"{undelivered} ORDER BY length(event_id), event_id")
    extra = _select_ids(
        cursor,
        """
        SELECT event_id FROM landed_event AS l
        WHERE NOT EXISTS (SELECT FROM published_event AS p WHERE p.event_id = l.event_id)
        AND NOT EXISTS (SELECT FROM staged_event AS s WHERE s.event_id = l.event_id)
        ORDER BY length(event_id), event_id""",
    )
    return evaluate_hop(
        "served",
        "published = served + superseded + quarantined",
        total,
        sum(counts.values()),
        pending=pending,
        missing=missing,
        extra=extra,
        holds=f"{total:,} published = {served:,} served + {superseded:,} superseded + {quarantined:,} quarantined.",
        remedy=_name_replay(cursor, undelivered) if missing else "",
    )


def _name_replay(cursor: PgCursor, missing: str) -> str:
    """The command that publishes the events of the query `missing` again; empty if staging has none of them."""
    cursor.execute(f"""
        SELECT min(event_time) AT TIME ZONE 'UTC', (max(event_time) + interval '1 second') AT TIME ZONE 'UTC'
        FROM staging.users WHERE id IN (SELECT {build_number_sql("event_id")} FROM ({missing}) AS missing)""")
    first, end = fetch_row(cursor)
    return f"`insights replay --from {first:%FT%T} --to {end:%FT%T}` publishes them again." if first else ""


def _select_ids(cursor: PgCursor, query: str) -> list[str]:
    cursor.execute(f"{query} LIMIT {MAX_NAMED_IDS}")
    return [str(row[0]) for row in cursor.fetchall()]
