"""The rows of a page in `staging.batches` and of a micro-batch in `analytics.batches`, and their digests."""

import json
from collections.abc import Mapping
from typing import Any

from insights.model.digest import digest_cells

RECOUNT = "recount"
"""The `query_id` of a recount. Cassandra has its counts, or gets them with the next batch."""
PAGE_DIGESTED = (
    *("batch_id", "dag_id", "run_id", "seed", "page", "fetched", "staged", "duplicates", "quarantined"),
    *("api_version", "answer_sha256", "answer_bytes"),
)
BATCH_DIGESTED = ("query_id", "batch_id", "seq", "offsets", "read", "accepted", "rejected", "inserted", "updated")


def digest_page(row: Mapping[str, Any]) -> int:
    """The digest of the columns `PAGE_DIGESTED`."""
    return digest_cells(None if row[name] is None else str(row[name]).encode() for name in PAGE_DIGESTED)


def digest_batch(row: Mapping[str, Any]) -> int:
    """The digest of the columns `BATCH_DIGESTED`. `offsets` is a mapping, as in `MicroBatchId`."""
    texts = (_format_jsonb(row[name]) if name == "offsets" else str(row[name]) for name in BATCH_DIGESTED)
    return digest_cells(text.encode() for text in texts)


def _format_jsonb(value: Any) -> str:
    """JSON as PostgreSQL prints a `jsonb` value: of an object, shorter keys first."""
    if isinstance(value, Mapping):
        members = sorted(value.items(), key=lambda member: (len(member[0].encode()), member[0].encode()))
        return "{" + ", ".join(f"{json.dumps(name)}: {_format_jsonb(content)}" for name, content in members) + "}"
    return json.dumps(value)
