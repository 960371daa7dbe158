"""The statements of the merge, on the temporary tables `incoming` (a batch) and `touched` (its effect on each user)."""

from insights.clients.layouts import MARK_SERVED
from insights.model.schema import (
    USER_FIELDS,
    build_dimension_values_sql,
    build_sql_columns,
    build_user_counts_sql,
    list_dimension_fields,
)

_USER_COLUMNS = ", ".join(USER_FIELDS)
_WRITTEN_COLUMNS = (*USER_FIELDS, "digest", "origin", "seq")
FRACTIONS = [percent / 100 for percent in range(101)]
REPLACED_COLUMNS = tuple(dict.fromkeys((*list_dimension_fields(), "registered_at")))
"""The columns of a replaced row that determine its counts and its keys in Cassandra."""

_COLUMN_TYPES = {name: definition.removesuffix(" NOT NULL") for name, definition in build_sql_columns().items()}
CREATE_TEMPORARY_TABLES = f"""
    CREATE TEMPORARY TABLE IF NOT EXISTS incoming (
        n bigint, digest bigint, {", ".join(f"{k} {v}" for k, v in _COLUMN_TYPES.items())},
        origin text, unversioned boolean
    ) ON COMMIT DELETE ROWS;
    CREATE TEMPORARY TABLE IF NOT EXISTS touched (
        n bigint, user_id uuid, event_id text, version bigint, wins boolean,
        old_event_id text, old_version bigint,
        {", ".join(f"old_{name} {_COLUMN_TYPES[name]}" for name in REPLACED_COLUMNS)}
    ) ON COMMIT DELETE ROWS;
"""

SELECT_NEWEST_INCOMING = (
    'SELECT DISTINCT ON (user_id) n FROM incoming ORDER BY user_id, version DESC, event_id COLLATE "C"'
)
# For each user of the batch, compares the newest incoming row with the stored one.
COMPARE_WITH_STORED = f"""
    INSERT INTO touched
    SELECT i.n, i.user_id, newest.event_id, newest.version, newest.wins,
        u.event_id, u.version, {", ".join(f"u.{name}" for name in REPLACED_COLUMNS)}
    FROM ({SELECT_NEWEST_INCOMING}) AS latest
    JOIN incoming AS i USING (n)
    LEFT JOIN analytics.users AS u ON u.user_id = i.user_id
    CROSS JOIN LATERAL (SELECT u.user_id IS NULL OR i.version > u.version AS wins) AS comparison
    CROSS JOIN LATERAL (
        SELECT wins, CASE WHEN wins THEN i.event_id ELSE u.event_id END AS event_id,
            greatest(i.version, u.version) AS version
    ) AS newest
"""
# Rows that were merged before are delivered again, in case Cassandra has lost them, and those of users whose refused
# rows were replaced by earlier ones.
DELIVER_AGAIN = """
    UPDATE analytics.users AS u SET seq = %(seq)s
    FROM (
        SELECT i.user_id, i.version FROM touched AS t JOIN incoming AS i USING (n) WHERE NOT t.wins
        UNION SELECT user_id, version FROM analytics.users WHERE user_id = ANY(%(skipped)s::uuid[])
    ) AS merged
    WHERE u.user_id = merged.user_id AND u.version = merged.version AND u.seq <> %(seq)s
"""
UPSERT_USERS = f"""
    INSERT INTO analytics.users ({_USER_COLUMNS}, digest, origin, seq)
    SELECT {", ".join(f"i.{name}" for name in USER_FIELDS)}, i.digest, i.origin, %(seq)s
    FROM incoming AS i JOIN touched AS t USING (n) WHERE t.wins
    ON CONFLICT (user_id) DO UPDATE SET {", ".join(f"{name} = excluded.{name}" for name in _WRITTEN_COLUMNS)}
    WHERE excluded.version > analytics.users.version
"""
# A count that would fall below zero was already wrong: it is recomputed from the table.
UPDATE_COUNTS = f"""
    WITH gained AS (SELECT i.* FROM incoming AS i JOIN touched AS t USING (n) WHERE t.wins),
    lost AS (
        SELECT {", ".join(f"old_{name} AS {name}" for name in list_dimension_fields())}
        FROM touched WHERE wins AND old_event_id IS NOT NULL
    ),
    changes AS (
        SELECT dimension, value, sum(change) AS change FROM (
            SELECT dimension, value, 1 AS change FROM ({build_dimension_values_sql("gained")}) AS g
            UNION ALL SELECT dimension, value, -1 FROM ({build_dimension_values_sql("lost")}) AS l
        ) AS gained_and_lost GROUP BY dimension, value HAVING sum(change) <> 0
    ),
    counts AS (
        SELECT m.dimension, m.value, coalesce(c.count, 0) + m.change AS count
        FROM changes AS m LEFT JOIN analytics.user_counts AS c USING (dimension, value)
    )
    INSERT INTO analytics.user_counts (dimension, value, count, seq)
    SELECT dimension, value, CASE WHEN count >= 0 THEN count ELSE coalesce((
        SELECT u.count FROM ({build_user_counts_sql("analytics.users")}) AS u
        WHERE u.dimension = counts.dimension AND u.value = counts.value
    ), 0) END, %(seq)s
    FROM counts
    ON CONFLICT (dimension, value) DO UPDATE SET count = excluded.count, seq = excluded.seq
"""
INSERT_SUPERSEDED = """
    INSERT INTO analytics.superseded (event_id, user_id, version, superseded_by, seq)
    SELECT DISTINCT ON (e.event_id, user_id) e.event_id, user_id, e.version, t.event_id, %(seq)s
    FROM (
        SELECT event_id, user_id, version FROM incoming
        UNION ALL SELECT old_event_id, user_id, old_version FROM touched WHERE wins AND old_event_id IS NOT NULL
    ) AS e JOIN touched AS t USING (user_id)
    WHERE e.event_id <> t.event_id
    ORDER BY e.event_id, user_id, e.version DESC
    ON CONFLICT DO NOTHING
"""
DELETE_REINSTATED = """
    DELETE FROM analytics.superseded AS s USING touched AS t
    WHERE t.wins AND t.old_event_id IS NOT NULL AND s.event_id = t.event_id AND s.user_id = t.user_id
"""


def build_moves_insert(moves: str) -> str:
    """Return the statement that stores the rows of the query `moves` in `analytics.moved`, replacing earlier ones."""
    return f"""
    INSERT INTO analytics.moved (user_id, version, seq, country_code, registered_month, registered_at) {moves}
    ON CONFLICT (user_id, version) DO UPDATE SET seq = excluded.seq, country_code = excluded.country_code,
        registered_month = excluded.registered_month, registered_at = excluded.registered_at
    """


INSERT_MOVES = build_moves_insert("""
    SELECT i.user_id, i.version, %(seq)s,
        CASE WHEN (i.country_code, i.registered_at) IS DISTINCT FROM (old_country_code, old_registered_at)
            THEN old_country_code END,
        CASE WHEN (i.registered_month, i.registered_at) IS DISTINCT FROM (old_registered_month, old_registered_at)
            THEN old_registered_month END,
        old_registered_at
    FROM incoming AS i JOIN touched AS t USING (n)
    WHERE t.wins AND old_event_id IS NOT NULL
        AND (i.country_code, i.registered_month, i.registered_at)
        IS DISTINCT FROM (old_country_code, old_registered_month, old_registered_at)
""")
WRITE_WINNERS = (UPSERT_USERS, UPDATE_COUNTS, INSERT_SUPERSEDED, DELETE_REINSTATED, INSERT_MOVES)
RESOLVE_QUARANTINED = """
    UPDATE quarantine.records AS r SET resolved_at = now(), resolved_by = %(resolver)s
    FROM (
        SELECT DISTINCT event_id FROM incoming
        UNION SELECT event_id FROM analytics.users WHERE event_id = ANY(%(rejected)s)
        UNION SELECT event_id FROM analytics.superseded WHERE event_id = ANY(%(rejected)s)
    ) AS landed
    WHERE r.event_id = landed.event_id AND r.resolved_at IS NULL
"""
SUMMARIZE_WINNERS = """
    SELECT count(*) FILTER (WHERE t.old_event_id IS NULL), count(*),
        percentile_disc(%s) WITHIN GROUP (ORDER BY i.event_time) FILTER (WHERE t.old_event_id IS NULL)
    FROM incoming AS i JOIN touched AS t USING (n) WHERE t.wins
"""
# Also marks the undelivered batches of an earlier checkpoint whose offsets this query has read again, those of this
# query, whose marks PostgreSQL has lost, and undelivered recounts, whose counts reached Cassandra with this batch.
# Returns the batches that are delivered for the first time: the last query sees them as they were.
MARK_DELIVERED = f"""
    WITH delivered AS (
        UPDATE analytics.batches SET {MARK_SERVED} WHERE query_id = %(query)s AND batch_id = %(batch)s
        RETURNING offsets, seq
    ),
    earlier AS (
        UPDATE analytics.batches AS b SET {MARK_SERVED} FROM delivered
        WHERE b.served_at IS NULL AND b.seq < delivered.seq AND NOT EXISTS (
            SELECT FROM jsonb_each(b.offsets) AS t(topic, partitions), jsonb_each(t.partitions) AS p(partition, span)
            WHERE (p.span ->> 1)::bigint > coalesce((delivered.offsets -> t.topic -> p.partition ->> 1)::bigint, 0)
        )
        RETURNING b.seq, b.query_id
    )
    SELECT seq, inserted, now(), event_times FROM analytics.batches
    WHERE served_at IS NULL AND seq IN (
        SELECT seq FROM delivered UNION ALL SELECT seq FROM earlier WHERE query_id <> %(query)s
    )
"""
