"""No query that is asked again and again reads the history: each scan of a table that grows is bounded by an index."""

from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import psycopg2
import pytest
from psycopg2.extensions import cursor as PgCursor

from insights.exporter.measurement import measure
from insights.ledger import record_ranges
from insights.ledger.flow_state import measure_flow_state
from insights.ledger.scratch_tables import CREATE_SCRATCH_TABLES
from insights.publisher import staged_rows
from insights.publisher.staged_rows import CommitPosition
from insights.queries import pipeline
from tests.helpers.idle_flow import IdleFlow

GROWING = ("batches", "superseded", "user_keys", "users", "users_20261120")
"""Tables of `staging` and `analytics` whose rows increase with the number of records."""


class ExplainedCursor(PgCursor):
    """Notes the scans of growing tables that no index condition and no limit bounds."""

    unbounded: list[str]

    def execute(self, query: Any, parameters: Any = None) -> None:
        super().execute("SET enable_seqscan = off")
        super().execute(f"EXPLAIN (FORMAT JSON) {query}", parameters)
        ((plan,),) = self.fetchall()
        self.unbounded += list(find_unbounded(plan[0]["Plan"]))
        super().execute(query, parameters)


def find_unbounded(node: dict[str, Any], limited: bool = False) -> Iterator[str]:
    limited = limited or node["Node Type"] == "Limit"
    if node.get("Relation Name") in GROWING and not limited and not is_bounded(node):
        yield f"{node['Node Type']} on {node['Relation Name']}"
    for child in node.get("Plans", ()):
        yield from find_unbounded(child, limited)


def is_bounded(node: dict[str, Any]) -> bool:
    """Whether the scan has a condition, or reads a partial index, which has few rows."""
    indexes = [node.get("Index Name")] + [child.get("Index Name") for child in node.get("Plans", ())]
    conditions = [node.get("Index Cond")] + [child.get("Index Cond") for child in node.get("Plans", ())]
    return any(conditions) or "batches_unserved" in indexes


@pytest.fixture
def explained(flow: IdleFlow) -> Iterator[Any]:
    with closing(psycopg2.connect(**flow.stores.postgres.connection("tests"))) as connection:
        connection.cursor_factory = type("Explained", (ExplainedCursor,), {"unbounded": []})
        yield connection


QUERIES: dict[str, Callable[[PgCursor, IdleFlow], object]] = {
    "lag of the publisher": lambda cursor, flow: staged_rows.count_lag(cursor.connection, flow.stores.kafka.raw_topic),
    "rows beyond the cursor": lambda cursor, _: staged_rows.has_rows_beyond(cursor.connection, CommitPosition(1, 0, 0)),
    "in flight": lambda cursor, flow: measure_flow_state(cursor, flow.stores.kafka.raw_topic, {}),
    "totals of hops": lambda cursor, flow: pipeline.read_hop_totals(cursor, flow.stores.kafka.raw_topic),
    "last batches": lambda cursor, _: pipeline.list_last_batches(cursor, 5),
    "superseded": lambda cursor, _: pipeline.count_superseded(cursor, 5),
    "arrivals": lambda cursor, _: pipeline.count_arrivals_per_minute(cursor, 60),
    "latency": lambda cursor, _: pipeline.measure_latency(cursor, 60),
    "rejections": lambda cursor, _: pipeline.count_rejections_per_hour(cursor, 24),
    "runs": lambda cursor, _: pipeline.list_ingest_runs(cursor, 5),
    "exporter": lambda cursor, flow: measure(cursor, flow.stores.kafka.raw_topic, {}),
}


@pytest.mark.parametrize("name", QUERIES)
def test_a_periodic_query_reads_no_history(flow: IdleFlow, explained: Any, name: str) -> None:
    with explained.cursor() as cursor:
        QUERIES[name](cursor, flow)
        assert cursor.unbounded == []


def test_a_scan_of_all_pages_would_be_noted(explained: Any) -> None:
    with explained.cursor() as cursor:
        cursor.execute("SELECT sum(staged) FROM staging.batches")
        assert any("on batches" in scan for scan in cursor.unbounded)


def test_records_are_joined_with_the_messages_and_not_searched_one_by_one(flow: IdleFlow) -> None:
    """A scan of the new messages for each new record made an incremental check quadratic."""
    parameters = {"topic": flow.stores.kafka.raw_topic, "after": 0, "last": 100, "days": []}
    _, insert, _ = record_ranges.CHECK_RANGE.strip().split(";\n")
    with (
        closing(psycopg2.connect(**flow.stores.postgres.connection("tests"))) as connection,
        connection.cursor() as cursor,
    ):
        cursor.execute(CREATE_SCRATCH_TABLES)
        cursor.execute(f"EXPLAIN (FORMAT JSON) {insert}", parameters | {"settled_after": record_ranges.SETTLED_AFTER})
        ((plan,),) = cursor.fetchall()
    scans = list(find_scans(plan[0]["Plan"], "topic_event"))
    assert scans == [False]


def find_scans(node: dict[str, Any], table: str, in_subplan: bool = False) -> Iterator[bool]:
    """For each scan of the table, whether it is in a subplan, which runs for every row."""
    in_subplan = in_subplan or node.get("Parent Relationship") == "SubPlan"
    if node.get("Relation Name") == table:
        yield in_subplan
    for child in node.get("Plans", ()):
        yield from find_scans(child, table, in_subplan)
