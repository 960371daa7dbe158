"""Write the users of merged batches to Cassandra on Spark's executors, each task a range of users.

A task reads from PostgreSQL what it writes, so a repeated attempt or a speculative twin writes what is stored, with the
same write timestamps: nothing changes.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache

from pyspark.sql import SparkSession

from insights.model.quarantine import Refusal
from insights.sinks import user_tables
from insights.sinks.stores import Connections, StoreConnections, StoreConnectionSettings
from insights.sinks.user_ranges import ALL_USERS, UserRange, read_moves, read_users, split_users

LEAST_ROWS = 500
"""Rows that are worth a task of their own."""
MOST_ROWS = 10_000
"""Rows of a task, which bound its memory."""


class SparkStores(StoreConnections):
    """The driver's connections to the stores, and the executors that write the users."""

    def __init__(self, spark: SparkSession, settings: StoreConnectionSettings) -> None:
        super().__init__(settings)
        self._spark, self._shared_settings = spark, settings

    def write_users(
        self, seqs: Sequence[int] | None, rows: int, *, users: UserRange = ALL_USERS, skip_refused: bool
    ) -> Mapping[str, Refusal]:
        """Write a range of the users of merged batches, about `rows`, to their tables; without `seqs`, of all batches.

        Returns what is refused, by origin.

        Raises:
            Py4JJavaError: a task failed as often as Spark repeats it.
        """
        context, settings = self._spark.sparkContext, self._shared_settings
        ranges = split_users(count_tasks(rows, context.defaultParallelism), users)

        def run_task(part: UserRange) -> dict[str, Refusal]:
            return write_range(_connect(settings), seqs, part, skip_refused=skip_refused)

        refused = context.parallelize(ranges, len(ranges)).map(run_task).collect()
        return {origin: refusal for part in refused for origin, refusal in part.items()}

    def warm_up(self) -> None:
        """Connect the executors to both stores."""
        self.write_users([], LEAST_ROWS * self._spark.sparkContext.defaultParallelism, skip_refused=False)


def count_tasks(rows: int, parallelism: int) -> int:
    """The number of tasks for so many rows: one for each core, unless they would be too small or too large."""
    wanted = min(parallelism, -(-rows // LEAST_ROWS))
    return max(1, wanted, -(-rows // MOST_ROWS))


def write_range(
    stores: Connections, seqs: Sequence[int] | None, users: UserRange, *, skip_refused: bool
) -> dict[str, Refusal]:
    """Write a range of the users of merged batches, or of all. Returns what is refused, by origin.

    Raises:
        Exception: the driver's first error that is not about the rows, or PostgreSQL's.
    """
    rows = stores.with_postgres(lambda connection: read_users(connection, seqs, users))
    moves = stores.with_postgres(lambda connection: read_moves(connection, seqs or (), users))
    _, writer = stores.connect_cassandra()
    refused = user_tables.write_users(writer, rows, moves, skip_refused=skip_refused)
    named = rows.select(["origin", "user_id", "version"]).take(list(refused)).to_pylist() if refused else []
    return {
        row["origin"] or row["user_id"]: Refusal("Cassandra", words, row["version"])
        for row, words in zip(named, refused.values(), strict=True)
    }


@lru_cache(maxsize=1)
def _connect(settings: StoreConnectionSettings) -> StoreConnections:
    """The connections of this Python process, which Spark uses for one task after the other."""
    return StoreConnections(settings)
