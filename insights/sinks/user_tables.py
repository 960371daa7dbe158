"""What a batch writes to Cassandra: its users in every table, the counts, and deletions of old keys."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID

import pyarrow as pa
import pyarrow.compute as pc
from cassandra.cluster import Session
from cassandra.concurrent import execute_concurrent_with_args

from insights import failpoints
from insights.model.quarantine import Refusal
from insights.model.schema import CASSANDRA_TABLES, PACKED_COLUMNS, find_id_bucket
from insights.sinks.cassandra import CassandraWriter
from insights.sinks.cql_encoding import compute_buckets, compute_id_buckets, encode_fields
from insights.sinks.refused_rows import CountKey

USER_TABLES = ("user_summaries_by_country", "user_summaries_by_month", "user_profiles_by_id")
"""In the order in which they are written: until a user is in the last one, it has the user's earlier row."""


@dataclass(frozen=True, slots=True)
class RefusedWrites:
    """What Cassandra refuses: users by origin, and counts with its words."""

    users: Mapping[str, Refusal] = field(default_factory=dict)
    counts: Mapping[CountKey, str] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.users or self.counts)


def write_users(
    writer: CassandraWriter, users: pa.Table, moves: pa.Table, *, skip_refused: bool = False
) -> dict[int, str]:
    """Write users to the tables of `USER_TABLES`, and delete the rows under old keys, all idempotently.

    Work ends at the first table that refuses a row, unless `skip_refused` is true.

    Returns the indices of the refused rows, each with Cassandra's words.

    Raises:
        Exception: the driver's first error that is not about what is written.
    """
    refused: dict[int, str] = {}
    if users.num_rows:
        users = add_derived_columns(users.combine_chunks())
        for table in USER_TABLES:
            refused |= writer.upsert_valid(table, CASSANDRA_TABLES[table][1], users, "version")
            failpoints.reach("cassandra.users_written")
            if refused and not skip_refused:
                return refused
    _delete_moved(writer, moves)
    return refused


def write_counts(writer: CassandraWriter, counts: pa.Table) -> dict[CountKey, str]:
    """Upsert counts (dimension, value, count, seq). Returns those that are refused, with Cassandra's words.

    A zero that is refused is as good as written: Cassandra has no row of what it refuses.

    Raises:
        Exception: the driver's first error that is not about what is written.
    """
    refused = writer.upsert_valid("user_counts", ("dimension", "value", "count"), counts, "seq")
    failpoints.reach("cassandra.counts_written")
    rows = zip(counts.take(list(refused)).to_pylist(), refused.values(), strict=True) if refused else ()
    return {CountKey(row["dimension"], row["value"]): words for row, words in rows if row["count"]}


def write_arrivals(writer: CassandraWriter, arrivals: pa.Table) -> None:
    """Upsert users into `latest_arrivals`, which shows them and is no record of them."""
    if not arrivals.num_rows:
        return
    hours = pc.strftime(arrivals["event_time"].cast(pa.timestamp("us")), "%Y-%m-%dT%H")
    columns = CASSANDRA_TABLES["latest_arrivals"][1]
    writer.upsert_valid("latest_arrivals", columns, arrivals.append_column("hour", hours), "version")
    failpoints.reach("cassandra.arrivals_written")


def read_users(session: Session, user_ids: Sequence[str], schema: pa.Schema) -> pa.Table:
    """The rows that `user_profiles_by_id` has of these users, in the columns of `schema`: those of `User`."""
    statement = session.prepare("SELECT user_id, profile FROM user_profiles_by_id WHERE id_bucket = ? AND user_id = ?")
    keys = [(find_id_bucket(user_id), user_id) for user_id in map(UUID, user_ids)]
    answers = execute_concurrent_with_args(session, statement, keys)
    found = [row for _, answer in answers for row in answer if row.profile]
    rows = [row.profile._asdict() | {"user_id": str(row.user_id)} for row in found]
    return pa.Table.from_pylist(rows, schema)


def add_derived_columns(users: pa.Table) -> pa.Table:
    """Add the columns that the tables have besides the fields of a user, as far as the users have those fields."""
    user_ids = users["user_id"].combine_chunks()
    users = users.append_column("bucket", compute_buckets(user_ids))
    users = users.append_column("id_bucket", compute_id_buckets(user_ids))
    for column, fields in PACKED_COLUMNS.items():
        if set(fields) <= set(users.column_names):
            users = users.append_column(column, encode_fields(users, fields))
    return users


def _delete_moved(writer: CassandraWriter, moves: pa.Table) -> None:
    """Delete the rows under the old keys of users whose country, month or registration instant changed.

    Under a key that Cassandra refuses it has no row.
    """
    if not moves.num_rows:
        return
    moves = moves.combine_chunks()
    moves = moves.append_column("bucket", compute_buckets(moves["user_id"].chunk(0)))
    for table, key in (("user_summaries_by_country", "country_code"), ("user_summaries_by_month", "registered_month")):
        keys = moves.filter(moves[key].is_valid()).select([key, "bucket", "registered_at", "user_id", "version"])
        writer.delete_valid(table, keys, "version")
        failpoints.reach("cassandra.moved_deleted")
