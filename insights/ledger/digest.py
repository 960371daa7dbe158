"""A row's image: its cells exactly as the CQL protocol writes them, each led by its length (-1 for null).

Cassandra sends it as it is, PostgreSQL builds it from its own cells, so equal images mean equal content in both stores,
with nothing parsed and no stored hash believed.
"""

import hashlib
from collections.abc import Iterator, Sequence
from struct import Struct
from typing import Any

from cassandra.protocol import ProtocolHandler, ResultMessage, read_int

from insights.model.schema import build_cql_types

BUCKETS = 1 << 18
"""Digest buckets, by the first 18 bits of the row's user id: so many that the rows of a batch leave most alone."""

_LENGTH = Struct(">i")
_NULL = r"'\xffffffff'::bytea"
_SEND = {
    "uuid": "uuid_send({})",
    "text": "convert_to({}, 'UTF8')",
    "int": "int4send({})",
    "bigint": "int8send({})",
    "double": "float8send({})",
    "boolean": "boolsend({})",
    "timestamp": "int8send((extract(epoch FROM {}) * 1000)::bigint)",
}
_DERIVED = {"bucket": "(get_byte(uuid_send(user_id), 0) >> 4)"}


def build_image_sql(columns: Sequence[str]) -> str:
    """An SQL expression, over a row with these columns, that is the row's image."""
    types = build_cql_types()
    cells = []
    for column in columns:
        sent = _SEND[types[column]].format(_DERIVED.get(column, column))
        cells.append(f"coalesce(int4send(octet_length({sent})) || {sent}, {_NULL})")
    return " || ".join(cells)


def build_bucket_sql() -> str:
    """An SQL expression that is the bucket of `user_id`."""
    first, second, third = (f"get_byte(uuid_send(user_id), {n})" for n in range(3))
    return f"(({first} << 10) | ({second} << 2) | ({third} >> 6))"


def build_digest_sql(image: str) -> str:
    """An SQL expression that is `digest_image` of the SQL expression `image`."""
    return f"('x' || encode(substring(sha256({image}) FOR 8), 'hex'))::bit(64)::bigint"


def digest_image(image: bytes) -> int:
    """64 bits of the image's SHA-256, signed. A bucket's is the exclusive or of its rows': no two are alike."""
    return int.from_bytes(hashlib.sha256(image).digest()[:8], "big", signed=True)


def find_bucket(user_id: bytes) -> int:
    return user_id[0] << 10 | user_id[1] << 2 | user_id[2] >> 6


def split_cells(image: bytes) -> list[bytes | None]:
    """The cells of an image."""
    found: list[bytes | None] = []
    position = 0
    while position < len(image):
        (length,) = _LENGTH.unpack_from(image, position)
        position += 4
        found.append(None if length < 0 else image[position : position + length])
        position += max(0, length)
    return found


class _Images(ResultMessage):  # type: ignore[misc]
    """A result whose rows are left as images."""

    def recv_results_rows(self, f: Any, _version: Any, user_types: Any, metadata: Any, _policy: Any) -> None:
        self.recv_results_metadata(f, user_types)
        columns = self.column_metadata or metadata
        self.column_names = [column[2] for column in columns]
        self.column_types = [column[3] for column in columns]
        count = read_int(f)
        self.parsed_rows = list(_split(f.read(), count, len(columns)))


class ImageProtocol(ProtocolHandler):  # type: ignore[misc]
    """Set as a session's `client_protocol_handler`, makes every row of it a 1-tuple of its image."""

    message_types_by_opcode = ProtocolHandler.message_types_by_opcode | {ResultMessage.opcode: _Images}


def _split(data: bytes, rows: int, columns: int) -> Iterator[tuple[bytes]]:
    length_at = _LENGTH.unpack_from
    position = 0
    for _ in range(rows):
        start = position
        for _ in range(columns):
            (length,) = length_at(data, position)
            position += 4 if length < 0 else length + 4
        yield (data[start:position],)
