"""The digests of users that the merge records, so that the ledger can tell whether a stored row was changed since."""

import pyarrow as pa

from insights.model.digest import digest_bytes
from insights.model.schema import USER_FIELDS
from insights.sinks.cql_encoding import encode_fields


def digest_users(users: pa.Table) -> pa.Array:
    """The digest of each user over every field, dtype int64: that of its fields as CQL encodes them."""
    if not users.num_rows:
        return pa.array([], pa.int64())
    images = encode_fields(users, USER_FIELDS)
    return pa.array(map(digest_bytes, images.to_pylist()), pa.int64(), size=len(images))
