"""The windows in which the tests crash, by what the crashed process does. A number selects a later visit of the window.

The tests of each group continue each other in this order.
"""

STAGING = (
    "fetch.page_received",
    "stage.partition_committed",
    "stage.rows_copied",
    "stage.page_recorded",
    "stage.page_committed",
)
PUBLISHING = (
    "publish.fence_raised",
    "publish.batch_read",
    "publish.batch_sent",
    "publish.acknowledged",
    "publish.cursor_moved",
    "publish.cursor_committed",
)
MERGING = (
    "start.recorded",
    "batch.started",
    "merge.users_written",
    "merge.batch_recorded",
    "merge.committed",
    "cassandra.counts_written",
)
WRITING = ("cassandra.users_written", "cassandra.users_written:2")
DELIVERING = (
    "cassandra.arrivals_written",
    "produce.enqueued",
    "produce.acknowledged",
    "batch.copied",
    "cassandra.batch_recorded:2",
    "batch.marked",
)
MOVING = ("cassandra.moved_deleted",)
WITHDRAWING = ("withdraw.committed",)
REPUBLISHING = ("produce.enqueued", "produce.acknowledged")
REDRIVING = ("redrive.recorded",)
RECOUNTING = ("recount.merged", "recount.counts_written", "recount.counts_deleted", "recount.marked")
RESTORING = ("restore.recorded",)
REFILLING = ("refill.written", "refill.layout_marked", "refill.marked")
ORPHANING = ("orphans.written", "orphans.marked")
LOSING = ("loss.recorded:2",)
PRUNING = (
    "retention.day_recorded",
    "retention.day_committed",
    "retention.batches_deleted",
    "retention.batches_committed",
)
MIGRATING = (
    "migrate.postgres_file",
    "migrate.postgres_file:2",
    "migrate.postgres_granted",
    "migrate.keyspace",
    "migrate.lock_tables",
    "migrate.cassandra_statement:2",
    "migrate.cassandra_file",
    "migrate.role_created",
    "migrate.permission_granted",
    "migrate.permission_revoked",
    "migrate.topics_created",
    "migrate.topics_altered",
    "migrate.role_password",
)

ALL = (
    *STAGING,
    *PUBLISHING,
    *MERGING,
    *WRITING,
    *DELIVERING,
    *MOVING,
    *WITHDRAWING,
    *REPUBLISHING,
    *REDRIVING,
    *RECOUNTING,
    *RESTORING,
    *REFILLING,
    *ORPHANING,
    *LOSING,
    *PRUNING,
    *MIGRATING,
)
