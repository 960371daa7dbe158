"""Failpoints: the windows between two durable steps, at each of which a test can kill the process.

`CRASH_AT=merge.committed` kills the process when it reaches that window, `CRASH_AT=merge.committed:3` when it reaches
the window for the third time. `docs/reliability.md` describes how the tests use them.
"""

import os
import signal
from collections import Counter
from collections.abc import Mapping
from functools import cache

from insights.environment import read_crash_at
from insights.errors import UserError

WINDOWS: Mapping[str, str] = {
    "fetch.page_received": "a page is fetched, and nothing of it is staged",
    "stage.partition_committed": "the day's partition exists, and no row of the page is staged",
    "stage.rows_copied": "the rows are copied without the page's ledger row, and nothing is committed",
    "stage.page_recorded": "the rows and the page's ledger row are written, and nothing is committed",
    "stage.page_committed": "the page is staged, and its task has not reported it",
    "publish.fence_raised": "the publisher leads, and has sent nothing",
    "publish.batch_read": "a batch is read from staging, and none of it is sent",
    "publish.batch_sent": "a batch is in the client's queue, and it is unknown what the broker has of it",
    "publish.acknowledged": "the broker has acknowledged a batch, and the cursor has not moved",
    "publish.cursor_moved": "the cursor and the quarantine rows are written, and not committed",
    "publish.cursor_committed": "the cursor has moved, and the next batch is not read",
    "loss.recorded": "the loss of messages is recorded, and the stream has not started behind them",
    "start.recorded": "the stream's starting offsets are recorded, and it has no checkpoint for them",
    "restore.recorded": "the batches that a restored Cassandra lacks are recorded, and none is written again",
    "refill.written": "Cassandra has the users and counts of PostgreSQL, and does not record that",
    "refill.layout_marked": "batches of another layout are recorded as in Cassandra, which is not recorded as filled",
    "refill.marked": "Cassandra is recorded as filled, and the query has not started",
    "orphans.written": "Cassandra has the batches that no query repeats, and PostgreSQL has not recorded that",
    "orphans.marked": "the batches that no query repeats are delivered, and the query has not started",
    "batch.started": "Spark has recorded a micro-batch's offsets, and no sink has any of it",
    "merge.users_written": "users and counts are written without the batch's ledger row, and nothing is committed",
    "merge.batch_recorded": "users, quarantine and the batch's ledger row are written, and nothing is committed",
    "merge.committed": "PostgreSQL has the batch, Cassandra has nothing of it",
    "cassandra.counts_written": "Cassandra has the counts, and none of the batch's users",
    "cassandra.users_written": "Cassandra has a range of the batch's users in one more of its tables",
    "cassandra.moved_deleted": "the rows of a range of users under old keys are deleted from one more table",
    "cassandra.arrivals_written": "Cassandra has all that the batch changes, and the stream does not know that",
    "withdraw.committed": "rows that Cassandra refuses are withdrawn from PostgreSQL, and it may have parts of them",
    "produce.enqueued": "messages are in the client's queue, and it is unknown what the broker has of them",
    "produce.acknowledged": "the broker has acknowledged copies or republished messages, and nothing records that",
    "redrive.recorded": "a re-drive is published and recorded as on its way, and its result is not reported",
    "batch.copied": "every sink has the batch, and PostgreSQL has not recorded that",
    "cassandra.batch_recorded": "Cassandra has recorded the batch as its last one, and PostgreSQL has not",
    "batch.marked": "PostgreSQL has recorded the delivery, and Spark has not committed the batch",
    "recount.merged": "PostgreSQL has exact counts, Cassandra has the old ones",
    "recount.counts_written": "Cassandra has exact counts, and still counts that PostgreSQL does not know",
    "recount.counts_deleted": "both stores have exact counts, and the recount is recorded as undelivered",
    "recount.marked": "the recount is delivered, and its result is not reported",
    "retention.day_recorded": "a day is recorded as pruned, its partition exists, and nothing is committed",
    "retention.day_committed": "a day is dropped, and the next one is not",
    "retention.batches_deleted": "old batches are deleted, their moves are not, and nothing is committed",
    "retention.batches_committed": "old batches and moves are deleted, and the result is not reported",
    "migrate.postgres_file": "a migration of PostgreSQL is applied, and the next one is not",
    "migrate.postgres_granted": "PostgreSQL's privileges are set, and nothing else of the migration is done",
    "migrate.keyspace": "the keyspace exists, and has no table",
    "migrate.lock_tables": "one more of the tables that the migrations themselves use exists",
    "migrate.cassandra_statement": "a statement of a migration of Cassandra is applied, and the file is not recorded",
    "migrate.cassandra_file": "a migration of Cassandra is recorded, and the next one is not applied",
    "migrate.role_created": "a role of Cassandra exists, and may have an old password",
    "migrate.role_password": "a role of Cassandra has its password, and its permissions are not set",
    "migrate.permission_revoked": "a role of Cassandra has lost a permission, and may lack those that it needs",
    "migrate.permission_granted": "a role of Cassandra has one more permission, and may lack others",
    "migrate.topics_created": "the topics that were missing exist, and the limits of the others are not set",
    "migrate.topics_altered": "topics and their limits are set, and the migration has not reported it",
}
"""Every window, with what has happened by then and what has not."""

_reached: Counter[str] = Counter()


def reach(window: str) -> None:
    """Kill this process if the environment asks for a crash in `window`; otherwise do nothing.

    Raises:
        UserError: `CRASH_AT` does not name a window.
    """
    target = _read_target()
    if target is None or target[0] != window:
        return
    _reached[window] += 1
    if _reached[window] == target[1]:
        os.kill(os.getpid(), signal.SIGKILL)


@cache
def _read_target() -> tuple[str, int] | None:
    text = read_crash_at()
    if not text:
        return None
    window, _, times = text.partition(":")
    if window not in WINDOWS or not (times or "1").isdecimal():
        raise UserError(f"CRASH_AT is {text!r}: set it to a window of insights/failpoints.py, or unset it.")
    return window, int(times or 1)
