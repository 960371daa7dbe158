"""What the dashboard reads of the flow, from PostgreSQL. Quarantine is counted, by an index of what is open."""

from datetime import datetime
from typing import NamedTuple

import numpy as np
from psycopg2.extensions import cursor as PgCursor

from insights.clients.sql import fetch_row

RECOUNT = "recount"
"""The recount's query in `analytics.batches`: as a batch, it is known to be in Cassandra or sent with the next one."""
PERCENTILES = (50, 95, 99)
MERGED_PERCENTILES = 10_000
"""That one answer on latency reads: all of a hundred batches', some of each of an hour's 3,600."""
LOOKED_AT_PAGES = 1000
"""Of the pages that were landed last, the runs are told."""

_BATCH = "batch_id, started_at, merged_at, served_at, read, accepted, rejected, inserted, updated"
_LATENCIES = ", ".join(f"extract(epoch FROM served_at - event_times[{101 - p}])::float8" for p in PERCENTILES)
# `seq` is the instant of the merge in microseconds, and indexed.
_SINCE = "seq >= extract(epoch FROM date_trunc('minute', now()) - make_interval(mins => %(minutes)s - 1)) * 1000000"


class BatchSummary(NamedTuple):
    """A micro-batch of the stream."""

    batch_id: int
    """Its number since the checkpoint began."""
    started_at: datetime
    merged_at: datetime
    served_at: datetime | None
    read: int
    accepted: int
    rejected: int
    inserted: int
    updated: int
    latency_p50: float | None
    """Seconds from the fetch of its new users until Cassandra had them, as the next two; none before, or without."""
    latency_p95: float | None
    latency_p99: float | None


class QuarantineSample(NamedTuple):
    """A record in quarantine."""

    quarantined_at: datetime
    reason: str
    field: str
    detail: str
    origin: str
    redrives: int
    size: int


class HopTotals(NamedTuple):
    """Totals of each hop, as the stores keep them; the ledger proves them."""

    fetched: int
    duplicates: int
    published: int
    served: int
    quarantined: int
    publisher_moved_at: datetime | None
    served_at: datetime | None
    """When the stream's last batch was in Cassandra."""


class MinuteTotals(NamedTuple):
    """Users that the stream merged within a minute, and records that it refused."""

    minute: datetime
    inserted: int
    updated: int
    rejected: int


class LatencyPercentiles(NamedTuple):
    """Seconds from the fetch of a new user until Cassandra had it, at three percentiles of `records`."""

    p50: float
    p95: float
    p99: float
    records: int


class HourlyRejections(NamedTuple):
    """Records refused for a reason within an hour."""

    hour: datetime
    reason: str
    records: int


class IngestRun(NamedTuple):
    """A run of a DAG that landed pages."""

    dag_id: str
    run_id: str
    pages: int
    fetched: int
    staged: int
    duplicates: int
    first_at: datetime
    last_at: datetime


def list_last_batches(cursor: PgCursor, limit: int) -> list[BatchSummary]:
    """The newest micro-batches, newest first; recounts, which read nothing, are none."""
    cursor.execute(
        f"SELECT {_BATCH}, {_LATENCIES} FROM analytics.batches WHERE query_id <> %s ORDER BY seq DESC LIMIT %s",
        (RECOUNT, limit),
    )
    return [BatchSummary(*row) for row in cursor.fetchall()]


def count_open_quarantine(cursor: PgCursor) -> dict[str, int]:
    """Records in quarantine per reason, a record refused again counted once."""
    cursor.execute(
        "SELECT reason, count(DISTINCT event_id) FROM quarantine.records WHERE resolved_at IS NULL GROUP BY reason"
    )
    return dict(cursor.fetchall())


def list_quarantine_samples(cursor: PgCursor, reason: str, limit: int) -> list[QuarantineSample]:
    """The latest open records of a reason, latest first."""
    cursor.execute(
        f"SELECT {', '.join(QuarantineSample._fields)} FROM quarantine.records"
        " WHERE reason = %s AND resolved_at IS NULL ORDER BY quarantined_at DESC LIMIT %s",
        (reason, limit),
    )
    return [QuarantineSample(*row) for row in cursor.fetchall()]


def read_hop_totals(cursor: PgCursor, topic: str) -> HopTotals:
    """Totals that cost O(pages + groups + refused) to read; `topic` is the publisher's."""
    cursor.execute(
        """
        SELECT fetched, duplicates, published, served, quarantined, publisher_moved_at, served_at
        FROM (SELECT coalesce(sum(fetched), 0)::bigint AS fetched,
                     coalesce(sum(duplicates), 0)::bigint AS duplicates FROM staging.batches) AS b,
             (SELECT coalesce(sum(published), 0)::bigint AS published, max(moved_at) AS publisher_moved_at
              FROM staging.publisher WHERE name = %(topic)s AND published > 0) AS p,
             (SELECT coalesce(sum(count), 0)::bigint AS served
              FROM analytics.user_counts WHERE dimension = 'gender') AS u,
             (SELECT count(DISTINCT event_id) AS quarantined FROM quarantine.records WHERE resolved_at IS NULL) AS q,
             (SELECT (SELECT served_at FROM analytics.batches WHERE served_at IS NOT NULL ORDER BY seq DESC LIMIT 1)
              AS served_at) AS s
        """,
        {"topic": topic},
    )
    return HopTotals(*fetch_row(cursor))


def count_superseded(cursor: PgCursor, most: int) -> int:
    """Served events that are not their user's newest; counted up to `most`, so that the cost is bounded."""
    cursor.execute("SELECT count(*) FROM (SELECT FROM analytics.superseded LIMIT %s) AS found", (most,))
    return int(fetch_row(cursor)[0])


def count_arrivals_per_minute(cursor: PgCursor, minutes: int) -> list[MinuteTotals]:
    """The last minutes, oldest first, the running one at the end; those without a batch are there with zeros."""
    cursor.execute(
        f"""
        SELECT minute, coalesce(sum(inserted), 0)::bigint, coalesce(sum(updated), 0)::bigint,
            coalesce(sum(rejected), 0)::bigint
        FROM generate_series(date_trunc('minute', now()) - make_interval(mins => %(minutes)s - 1), now(), '1 minute')
            AS minute
        LEFT JOIN (
            SELECT date_trunc('minute', merged_at) AS minute, inserted, updated, rejected FROM analytics.batches
            WHERE {_SINCE}
        ) AS b USING (minute)
        GROUP BY minute ORDER BY minute
        """,
        {"minutes": minutes},
    )
    return [MinuteTotals(*row) for row in cursor.fetchall()]


def measure_latency(cursor: PgCursor, minutes: int) -> LatencyPercentiles | None:
    """Of the batches merged in the last minutes and served; none without new users in them.

    Each batch keeps 101 percentiles of its users' instants; they are merged by weight (nearest rank). Of many batches
    a share of each one's is read, evenly spaced, `MERGED_PERCENTILES` in all.
    """
    cursor.execute(
        f"""
        WITH served AS (
            SELECT inserted, served_at, event_times FROM analytics.batches
            WHERE {_SINCE} AND served_at IS NOT NULL AND event_times IS NOT NULL
        ), spaced AS (
            SELECT least(101, greatest(1, ceil(count(*) * 101.0 / %(most)s)))::integer AS step FROM served
        )
        SELECT inserted, array(
            SELECT extract(epoch FROM served_at - event_times[n])::float8
            FROM generate_series(1 + step / 2, 101, step) AS n
        )
        FROM served, spaced
        """,
        {"minutes": minutes, "most": MERGED_PERCENTILES},
    )
    batches = cursor.fetchall()
    if not batches:
        return None
    seconds = np.concatenate([values for _, values in batches])
    weights = np.concatenate([np.full(len(values), records / len(values)) for records, values in batches])
    order = np.argsort(seconds)
    reached = np.cumsum(weights[order]) / weights.sum()
    ranks = np.minimum(np.searchsorted(reached, [p / 100 for p in PERCENTILES]), len(order) - 1)
    p50, p95, p99 = (float(value) for value in seconds[order][ranks])
    return LatencyPercentiles(p50, p95, p99, sum(records for records, _ in batches))


def count_rejections_per_hour(cursor: PgCursor, hours: int) -> list[HourlyRejections]:
    """Records refused in the last hours, by hour and reason, those resolved since included; hours without left out."""
    cursor.execute(
        """
        SELECT date_trunc('hour', quarantined_at) AS hour, reason, count(*) FROM quarantine.records
        WHERE quarantined_at >= date_trunc('hour', now()) - make_interval(hours => %s - 1)
        GROUP BY 1, 2 ORDER BY 1, 2
        """,
        (hours,),
    )
    return [HourlyRejections(*row) for row in cursor.fetchall()]


def list_ingest_runs(cursor: PgCursor, limit: int) -> list[IngestRun]:
    """The runs that landed the last `LOOKED_AT_PAGES` pages, the latest first."""
    cursor.execute(
        """
        SELECT dag_id, run_id, count(*), sum(fetched)::bigint, sum(staged)::bigint, sum(duplicates)::bigint,
            min(staged_at), max(staged_at)
        FROM (SELECT * FROM staging.batches ORDER BY staged_at DESC LIMIT %s) AS pages
        GROUP BY dag_id, run_id ORDER BY max(staged_at) DESC LIMIT %s
        """,
        (LOOKED_AT_PAGES, limit),
    )
    return [IngestRun(*row) for row in cursor.fetchall()]
