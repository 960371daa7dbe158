"""The dashboard's queries on PostgreSQL: totals of every hop, micro-batches, latency, quarantine and ingestion runs."""

from bisect import bisect_left
from datetime import datetime
from itertools import accumulate
from typing import NamedTuple

from psycopg2.extensions import cursor as PgCursor

from insights.clients.page_totals import PAGE_TOTALS
from insights.clients.sql import fetch_row
from insights.model.batch import RECOUNT

PERCENTILES = (50, 95, 99)
MAX_PERCENTILES = 10_000
"""Percentiles that one latency query reads: all of a hundred batches, or some of each of an hour's 3,600 batches."""
SAMPLED_BYTES = 16 * 1024
"""The largest payload that a sample of the quarantine contains."""
RECENT_PAGES = 1000
"""The number of newest staged pages whose runs are listed."""

_BATCH_COLUMNS = "batch_id, started_at, merged_at, served_at, read, accepted, rejected, inserted, updated"
_LATENCY_COLUMNS = ", ".join(f"extract(epoch FROM served_at - event_times[{101 - p}])::float8" for p in PERCENTILES)
# `seq` is the instant of the merge in microseconds, and indexed.
_FIRST_MINUTE = "date_trunc('minute', now()) - make_interval(mins => %(minutes)s - 1)"
_MERGED_RECENTLY = f"seq >= (extract(epoch FROM {_FIRST_MINUTE}) * 1000000)::bigint"


class BatchSummary(NamedTuple):
    """A micro-batch of the stream."""

    batch_id: int
    """Counted from the start of the checkpoint."""
    started_at: datetime
    merged_at: datetime
    served_at: datetime | None
    read: int
    accepted: int
    rejected: int
    inserted: int
    updated: int
    latency_p50: float | None
    """Seconds from the fetch of its new users until Cassandra had them; None before that, or without new users."""
    latency_p95: float | None
    latency_p99: float | None


class QuarantineSample(NamedTuple):
    """A record in quarantine. `payload` is None if it was not kept or has more than 16 KiB."""

    quarantined_at: datetime
    reason: str
    field: str
    detail: str
    origin: str
    redrives: int
    size: int
    payload: bytes | None


class HopTotals(NamedTuple):
    """Totals of each hop as the stores keep them. They are not verified: the ledger does that."""

    fetched: int
    staged: int
    duplicates: int
    published: int
    served: int
    quarantined: int
    publisher_moved_at: datetime | None
    served_at: datetime | None
    """When the newest delivered batch was in Cassandra."""
    source_resumes_at: datetime | None = None
    """When the source takes requests again; None if it does now."""


class MinuteTotals(NamedTuple):
    """Users that the stream merged within a minute, and records that it rejected."""

    minute: datetime
    inserted: int
    updated: int
    rejected: int


class LatencyPercentiles(NamedTuple):
    """Percentiles, over `records` new users, of the seconds from a user's fetch until Cassandra had it."""

    p50: float
    p95: float
    p99: float
    records: int


class HourlyRejections(NamedTuple):
    """Records rejected for a reason within an hour."""

    hour: datetime
    reason: str
    records: int


class IngestRun(NamedTuple):
    """A DAG run that staged pages."""

    dag_id: str
    run_id: str
    pages: int
    fetched: int
    staged: int
    duplicates: int
    first_at: datetime
    last_at: datetime


def list_last_batches(cursor: PgCursor, limit: int) -> list[BatchSummary]:
    """The newest micro-batches, newest first, without recounts."""
    cursor.execute(
        f"SELECT {_BATCH_COLUMNS}, {_LATENCY_COLUMNS} FROM analytics.batches"
        " WHERE query_id <> %s ORDER BY seq DESC LIMIT %s",
        (RECOUNT, limit),
    )
    return [BatchSummary(*row) for row in cursor.fetchall()]


def count_open_quarantine(cursor: PgCursor) -> dict[str, int]:
    """Open quarantined records per reason; a record rejected again counts once."""
    cursor.execute(
        "SELECT reason, count(DISTINCT event_id) FROM quarantine.records WHERE resolved_at IS NULL GROUP BY reason"
    )
    return dict(cursor.fetchall())


def list_quarantine_samples(cursor: PgCursor, reason: str, limit: int) -> list[QuarantineSample]:
    """The newest open records of a reason, newest first."""
    cursor.execute(
        f"SELECT {', '.join(QuarantineSample._fields[:-1])},"
        " CASE WHEN octet_length(payload) <= %s THEN payload END FROM quarantine.records"
        " WHERE reason = %s AND resolved_at IS NULL ORDER BY quarantined_at DESC LIMIT %s",
        (SAMPLED_BYTES, reason, limit),
    )
    return [
        QuarantineSample._make((*row, None if payload is None else bytes(payload)))
        for *row, payload in cursor.fetchall()
    ]


def read_hop_totals(cursor: PgCursor, topic: str) -> HopTotals:
    """Totals of each hop; `topic` names the publisher's cursor.

    Costs O(pages staged since the last check + groups + quarantined records).
    """
    cursor.execute(
        f"""
        SELECT fetched, staged, duplicates, published, served, quarantined, publisher_moved_at, served_at, resumes_at
        FROM {PAGE_TOTALS} AS b,
             (SELECT coalesce(sum(published), 0)::bigint AS published, max(moved_at) AS publisher_moved_at
              FROM staging.publisher WHERE name = %(topic)s AND published > 0) AS p,
             (SELECT coalesce(sum(count), 0)::bigint AS served
              FROM analytics.user_counts WHERE dimension = 'gender') AS u,
             (SELECT count(DISTINCT event_id) AS quarantined FROM quarantine.records WHERE resolved_at IS NULL) AS q,
             (SELECT (SELECT served_at FROM analytics.batches WHERE served_at IS NOT NULL ORDER BY seq DESC LIMIT 1)
              AS served_at) AS s,
             (SELECT max(resumes_at) AS resumes_at
              FROM (SELECT greatest(resume_at, CASE WHEN booked > 0 THEN opened_at + quota_seconds * interval '1 s' END)
                    AS resumes_at FROM staging.source_pace) AS waits WHERE resumes_at > now()) AS w
        """,
        {"topic": topic},
    )
    return HopTotals(*fetch_row(cursor))


def count_superseded(cursor: PgCursor, limit: int) -> int:
    """The number of superseded events, counted up to `limit` so that the cost is bounded."""
    cursor.execute("SELECT count(*) FROM (SELECT FROM analytics.superseded LIMIT %s) AS bounded", (limit,))
    return int(fetch_row(cursor)[0])


def count_arrivals_per_minute(cursor: PgCursor, minutes: int) -> list[MinuteTotals]:
    """Totals of the last minutes, oldest first, including the current one; minutes without a batch have zeros."""
    cursor.execute(
        f"""
        SELECT minute, coalesce(sum(inserted), 0)::bigint, coalesce(sum(updated), 0)::bigint,
            coalesce(sum(rejected), 0)::bigint
        FROM generate_series({_FIRST_MINUTE}, now(), '1 minute')
            AS minute
        LEFT JOIN (
            SELECT date_trunc('minute', merged_at) AS minute, inserted, updated, rejected FROM analytics.batches
            WHERE {_MERGED_RECENTLY}
        ) AS b USING (minute)
        GROUP BY minute ORDER BY minute
        """,
        {"minutes": minutes},
    )
    return [MinuteTotals(*row) for row in cursor.fetchall()]


def measure_latency(cursor: PgCursor, minutes: int) -> LatencyPercentiles | None:
    """The latency of the batches merged in the last minutes and delivered; None if they contain no new user.

    Each batch stores 101 percentiles of its users' instants, which are merged by weight (nearest rank). If there are
    many batches, only evenly spaced percentiles of each are read, `MAX_PERCENTILES` in total.
    """
    cursor.execute(
        f"""
        WITH served AS (
            SELECT inserted, served_at, event_times FROM analytics.batches
            WHERE {_MERGED_RECENTLY} AND served_at IS NOT NULL AND event_times IS NOT NULL
        ), spaced AS (
            SELECT least(101, greatest(1, ceil(count(*) * 101.0 / %(max)s)))::integer AS step FROM served
        )
        SELECT inserted, array(
            SELECT extract(epoch FROM served_at - event_times[n])::float8
            FROM generate_series(1 + step / 2, 101, step) AS n
        )
        FROM served, spaced
        """,
        {"minutes": minutes, "max": MAX_PERCENTILES},
    )
    batches = cursor.fetchall()
    if not batches:
        return None
    weighted = sorted((value, records / len(values)) for records, values in batches for value in values)
    reached = list(accumulate(weight for _, weight in weighted))
    ranks = (bisect_left(reached, reached[-1] * p / 100) for p in PERCENTILES)
    p50, p95, p99 = (weighted[min(rank, len(weighted) - 1)][0] for rank in ranks)
    return LatencyPercentiles(p50, p95, p99, sum(records for records, _ in batches))


def count_rejections_per_hour(cursor: PgCursor, hours: int) -> list[HourlyRejections]:
    """Records rejected in the last hours by hour and reason, including those resolved since, without empty hours."""
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
    """The runs that staged the newest `RECENT_PAGES` pages, newest first."""
    cursor.execute(
        """
        SELECT dag_id, run_id, count(*), sum(fetched)::bigint, sum(staged)::bigint, sum(duplicates)::bigint,
            min(staged_at), max(staged_at)
        FROM (SELECT * FROM staging.batches ORDER BY staged_at DESC LIMIT %s) AS pages
        GROUP BY dag_id, run_id ORDER BY max(staged_at) DESC LIMIT %s
        """,
        (RECENT_PAGES, limit),
    )
    return [IngestRun(*row) for row in cursor.fetchall()]
