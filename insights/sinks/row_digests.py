"""The digests of users that the merge records, so that the ledger can tell whether a stored row was changed since."""

import pyarrow as pa

from insights.model.digest import digest_bytes
from insights.model.schema import USER_FIELDS, build_cql_types
from insights.sinks.cql_encoding import encode_rows


def digest_users(users: pa.Table) -> pa.Array:
    """The digest of each user over every field, dtype int64: that of its row in `users_by_id` as CQL encodes it."""
    if not users.num_rows:
        return pa.array([], pa.int64())
    types = build_cql_types()
    columns = [users[name].combine_chunks() for name in USER_FIELDS]
    images = encode_rows(columns, [types[name].replace("text", "varchar") for name in USER_FIELDS], b"")
    return pa.array(map(digest_bytes, images.to_pylist()), pa.int64(), size=len(images))
