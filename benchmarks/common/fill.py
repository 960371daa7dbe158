"""Users written straight into both stores, as the stream delivers them, but without the chain before it."""

import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime

import pyarrow as pa

from benchmarks.common.population import Chunk
from insights.model.quarantine import Refusal
from insights.settings import StoreSettings, StreamSettings, load
from insights.sinks import delivery, postgres
from insights.sinks.accepted_rows import encode_rows
from insights.sinks.batch_contents import BatchContents, RejectedRecords
from insights.sinks.executor_writes import write_range
from insights.sinks.stores import StoreConnections, StoreConnectionSettings
from insights.sinks.user_ranges import ALL_USERS, UserRange

BATCH = 20_000
QUERY = "benchmark"


class _Stores(StoreConnections):
    """Both stores, to which this process writes the users."""

    def write_users(
        self, seqs: Sequence[int] | None, rows: int, *, users: UserRange = ALL_USERS, skip_refused: bool
    ) -> Mapping[str, Refusal]:
        return write_range(self, seqs, users, skip_refused=skip_refused) if rows else {}


def fill(settings: StoreSettings, first: int, users: int) -> None:
    """Deliver the generated users `first` to `users - 1`, in batches. No stream may run."""
    started = time.monotonic()
    connections = StoreConnectionSettings(load(StreamSettings), settings.postgres, settings.cassandra)
    with closing(_Stores(connections)) as stores:
        for number, start in enumerate(range(first, users, BATCH)):
            rows = Chunk(start, min(BATCH, users - start)).accepted()
            offsets = {"generated": {"0": [start, start + rows.num_rows]}}
            _deliver(stores, postgres.MicroBatchId(f"{QUERY} {first}", number, offsets, datetime.now(UTC)), rows)
            rate = (start + rows.num_rows - first) / (time.monotonic() - started)
            print(f"{start + rows.num_rows:,} of {users:,} users written, {rate:,.0f}/s", file=sys.stderr, flush=True)


def _deliver(stores: _Stores, batch: postgres.MicroBatchId, rows: pa.Table) -> None:
    contents = BatchContents(batch, encode_rows(rows), RejectedRecords(), lambda _: RejectedRecords())
    delivery.write_cassandra(stores, contents, delivery.merge(stores, contents))
    stores.with_postgres(lambda connection: postgres.mark_delivered(connection, batch))
