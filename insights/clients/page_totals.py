"""Totals over all staged pages, whose cost depends on the pages staged since the last check and not on the history."""

PAGE_TOTALS = """
    (SELECT coalesce(t.fetched, 0) + coalesce(b.fetched, 0) AS fetched,
            coalesce(t.staged, 0) + coalesce(b.staged, 0) AS staged,
            coalesce(t.duplicates, 0) + coalesce(b.duplicates, 0) AS duplicates
     FROM (SELECT max(until) AS until, sum(fetched)::bigint AS fetched, sum(staged)::bigint AS staged,
                  sum(duplicates)::bigint AS duplicates FROM staging.page_totals) AS t,
          LATERAL (SELECT sum(fetched) AS fetched, sum(staged) AS staged, sum(duplicates) AS duplicates
                   FROM staging.batches WHERE staged_at >= coalesce(t.until, '-infinity')) AS b)
"""
"""A subquery with one row: the records fetched and staged, and the duplicates among them."""

EXTEND_PAGE_TOTALS = """
    WITH former AS (DELETE FROM staging.page_totals RETURNING *),
    added AS (
        SELECT coalesce(sum(fetched), 0) AS fetched, coalesce(sum(staged), 0) AS staged,
            coalesce(sum(duplicates), 0) AS duplicates
        FROM staging.batches
        WHERE staged_at >= coalesce((SELECT until FROM former), '-infinity') AND staged_at < now() - interval '1 hour'
    )
    INSERT INTO staging.page_totals (until, fetched, staged, duplicates)
    SELECT greatest(f.until, now() - interval '1 hour'), coalesce(f.fetched, 0) + added.fetched,
        coalesce(f.staged, 0) + added.staged, coalesce(f.duplicates, 0) + added.duplicates
    FROM added LEFT JOIN former AS f ON true
"""
"""Extends the recorded sums to an hour ago: no transaction that stages a page is open as long."""
FORGET_PAGE_TOTALS = "DELETE FROM staging.page_totals"
