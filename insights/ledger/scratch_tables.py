"""The scratch tables of a check."""

from insights.ledger import count_digests, events, record_ranges

CREATE_SCRATCH_TABLES = (
    events.CREATE_SCRATCH_TABLES + record_ranges.CREATE_SCRATCH_TABLES + count_digests.CREATE_SCRATCH_TABLES
)
"""Executed before the transaction of the snapshot, which is read-only."""
