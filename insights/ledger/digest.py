"""Images and digests of rows, by which the ledger compares Cassandra with PostgreSQL.

The image of a row is its cells as the CQL protocol encodes them, each preceded by its length (-1 for null). Cassandra
sends images, PostgreSQL builds them from its columns. Equal images mean equal content: nothing is parsed.
"""

from collections.abc import Iterator, Sequence
from struct import Struct
from typing import Any

from cassandra.cqltypes import TupleType
from cassandra.protocol import ProtocolHandler, ResultMessage, read_int

from insights.model.schema import build_cql_types

BUCKETS = 1 << 18
"""Digest buckets, by the first 18 bits of the user id: so many that the rows of a batch change few of them."""

_LENGTH = Struct(">i")
_INT_CELL = Struct(">ii")
_NULL_CELL = _LENGTH.pack(-1)
_PACKED_AT = 4 + 16
"""The position of the second cell of an image whose first is a user id."""
_NULL_CELL_SQL = r"'\xffffffff'::bytea"
_CELL_SQL = {
    "uuid": "uuid_send({})",
    "text": "convert_to({}, 'UTF8')",
    "int": "int4send({})",
    "bigint": "int8send({})",
    "double": "float8send({})",
    "boolean": "boolsend({})",
    "timestamp": "int8send((extract(epoch FROM {}) * 1000)::bigint)",
}
_DERIVED_SQL = {
    "bucket": "(get_byte(uuid_send(user_id), 0) >> 4)",
    "id_bucket": "((get_byte(uuid_send(user_id), 0) << 2) | (get_byte(uuid_send(user_id), 1) >> 6))",
    "hour": """to_char(event_time AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24')""",
}


def build_image_sql(columns: Sequence[str]) -> str:
    """An SQL expression for the image of a row with these columns."""
    types = build_cql_types()
    cells = []
    for column in columns:
        cell = _CELL_SQL[types[column]].format(_DERIVED_SQL.get(column, column))
        cells.append(f"coalesce(int4send(octet_length({cell})) || {cell}, {_NULL_CELL_SQL})")
    return " || ".join(cells)


def build_cells_sql(columns: Sequence[str]) -> str:
    """SQL expressions whose values are, in PostgreSQL's binary format, the cells of a row with these columns."""
    types = build_cql_types()
    cells = []
    for column in columns:
        cell = _DERIVED_SQL.get(column, column)
        is_instant = types[column] == "timestamp"
        cells.append(f"(extract(epoch FROM {cell}) * 1000)::bigint" if is_instant else cell)
    return ", ".join(cells)


def build_bucket_sql() -> str:
    """An SQL expression for the digest bucket of `user_id`."""
    first, second, third = (f"get_byte(uuid_send(user_id), {n})" for n in range(3))
    return f"(({first} << 10) | ({second} << 2) | ({third} >> 6))"


def build_digest_sql(image: str) -> str:
    """An SQL expression for `digest_bytes` of the SQL expression `image`.

    The digest of a bucket is the exclusive or of its rows' digests. Its rows have distinct ids, so none cancel out.
    """
    return f"('x' || encode(substring(sha256({image}) FOR 8), 'hex'))::bit(64)::bigint"


def build_cells_digest_sql(*cells: str) -> str:
    """An SQL expression for `digest_cells` of SQL expressions of type bytea."""
    lengths = (f"coalesce(int4send(octet_length({cell})) || {cell}, {_NULL_CELL_SQL})" for cell in cells)
    return build_digest_sql(" || ".join(lengths))


def build_texts_digest_sql(*texts: str) -> str:
    """The same for SQL expressions that are converted to text."""
    return build_cells_digest_sql(*(f"convert_to(({text})::text, 'UTF8')" for text in texts))


def find_bucket(user_id: bytes) -> int:
    """The digest bucket of a user id of 16 bytes."""
    return user_id[0] << 10 | user_id[1] << 2 | user_id[2] >> 6


def parse_cell(image: bytes, position: int) -> bytes | None:
    """The cell that begins at a position of the image."""
    (length,) = _LENGTH.unpack_from(image, position)
    return None if length < 0 else image[position + 4 : position + 4 + length]


def unpack_image(image: bytes, fields: int) -> bytes:
    """The image with the fields of its second cell in place of that cell; the first cell is a user id."""
    (length,) = _LENGTH.unpack_from(image, _PACKED_AT)
    start = _PACKED_AT + 4
    if length < 0:
        return image[:_PACKED_AT] + _NULL_CELL * fields + image[start:]
    return image[:_PACKED_AT] + image[start:]


def strip_id_bucket(image: bytes) -> bytes:
    """The image without its last cell, if that is the `id_bucket` of the user id in the first one."""
    return image.removesuffix(_INT_CELL.pack(4, image[4] << 2 | image[5] >> 6))


def split_cells(image: bytes) -> list[bytes | None]:
    """The cells of an image."""
    cells: list[bytes | None] = []
    position = 0
    while position < len(image):
        (length,) = _LENGTH.unpack_from(image, position)
        position += 4
        cells.append(None if length < 0 else image[position : position + length])
        position += max(0, length)
    return cells


class _ImageResult(ResultMessage):  # type: ignore[misc]
    """A result whose rows stay images. A row of one tuple becomes the image of the tuple's cells."""

    def recv_results_rows(self, f: Any, _version: Any, user_types: Any, metadata: Any, _policy: Any) -> None:
        self.recv_results_metadata(f, user_types)
        columns = self.column_metadata or metadata
        self.column_names = [column[2] for column in columns]
        self.column_types = [column[3] for column in columns]
        count = read_int(f)
        if len(columns) == 1 and issubclass(columns[0][3], TupleType):
            self.parsed_rows = list(_split_tuples(f.read(), count))
        else:
            self.parsed_rows = list(_split_rows(f.read(), count, len(columns)))


class ImageProtocol(ProtocolHandler):  # type: ignore[misc]
    """As a session's `client_protocol_handler`, returns every row as a 1-tuple of its image."""

    message_types_by_opcode = ProtocolHandler.message_types_by_opcode | {ResultMessage.opcode: _ImageResult}


def _split_tuples(data: bytes, rows: int) -> Iterator[tuple[bytes]]:
    length_at = _LENGTH.unpack_from
    position = 0
    for _ in range(rows):
        (length,) = length_at(data, position)
        end = position + 4 + length
        yield (data[position + 4 : end],)
        position = end


def _split_rows(data: bytes, rows: int, columns: int) -> Iterator[tuple[bytes]]:
    length_at = _LENGTH.unpack_from
    position = 0
    for _ in range(rows):
        start = position
        for _ in range(columns):
            (length,) = length_at(data, position)
            position += 4 if length < 0 else length + 4
        yield (data[start:position],)
