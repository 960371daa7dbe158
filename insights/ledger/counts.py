"""The aggregate hops: PostgreSQL's counts against a recount, Cassandra's against PostgreSQL's."""

from collections.abc import Set
from dataclasses import replace
from typing import Any

from cassandra.cluster import Session
from psycopg2.extensions import cursor as PgCursor

from insights.ledger.hops import NAMED, Hop, LedgerState, evaluate_hop
from insights.model.schema import build_user_counts_sql

Counts = dict[tuple[str, str], int]

_REMEDY = "`insights recount` counts the served users again."


def read_kept_counts(cursor: PgCursor) -> Counts:
    """The counts that PostgreSQL keeps, by dimension and value."""
    cursor.execute("SELECT dimension, value, count FROM analytics.user_counts")
    return _index_counts(cursor.fetchall())


def recount_users(cursor: PgCursor) -> Counts:
    """The exact counts, from the rows of `analytics.users`."""
    cursor.execute(build_user_counts_sql("analytics.users"))
    return _index_counts(cursor.fetchall())


def read_cassandra_counts(session: Session) -> Counts:
    """The counts in Cassandra, by dimension and value, zeros included."""
    return _index_counts(session.execute("SELECT dimension, value, count FROM user_counts"))


def compare_counts(
    name: str, equation: str, left: Counts, right: Counts, late: Set[tuple[str, str]] = frozenset()
) -> Hop:
    """Judge two sets of counts, of which the `late` ones may differ; the hop's sides are sums over all dimensions."""
    left, right = _drop_zeros(left), _drop_zeros(right)
    differing = {key for key in left.keys() | right.keys() if left.get(key) != right.get(key)}
    named = differing - late
    missing, extra = sorted(named - right.keys()), sorted(named - left.keys())
    changed = sorted(named & left.keys() & right.keys())
    total_left, total_right = sum(left.values()), sum(right.values())
    if differing and not named:
        behind = max(1, abs(total_left - total_right))
        return evaluate_hop(name, equation, total_left, total_left - behind, pending=behind, holds="")
    found = evaluate_hop(
        name,
        equation,
        total_left,
        total_right,
        missing=[_named(key, left, right) for key in missing[:NAMED]],
        extra=[_named(key, left, right) for key in extra[:NAMED]],
        changed=[_named(key, left, right) for key in changed[:NAMED]],
        holds=f"{len(left):,} counts agree.",
    )
    return replace(found, sentence=f"{found.sentence} {_REMEDY}") if found.state is LedgerState.BROKEN else found


def _index_counts(rows: Any) -> Counts:
    return {(dimension, value): count for dimension, value, count in rows}


def _drop_zeros(counts: Counts) -> Counts:
    """The counts without those of no user: a store may hold a zero where another has no row."""
    return {key: count for key, count in counts.items() if count}


def _named(key: tuple[str, str], left: Counts, right: Counts) -> str:
    return f"{key[0]}={key[1]} ({left.get(key, 0)} against {right.get(key, 0)})"
