"""Rows as Arrow tables, and as the CSV text in which they go to PostgreSQL and come back."""

import io
from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

import pyarrow as pa
import pyarrow.csv
from psycopg2.extensions import connection as PgConnection

from insights.model.user import User, read_field_types

_ARROW = {
    UUID: pa.string(),
    str: pa.string(),
    int: pa.int32(),
    float: pa.float64(),
    bool: pa.bool_(),
    datetime: pa.timestamp("us", "UTC"),
}


def build_user_schema() -> pa.Schema:
    """The Arrow schema of users: the fields of `User`, in order."""
    return pa.schema(
        [
            pa.field(name, pa.int64() if name == "version" else _ARROW[kind], nullable=optional)
            for name, (kind, optional) in read_field_types(User).items()
        ]
    )


ORIGIN = pa.field("origin", pa.string())
STORED_SCHEMA = pa.schema([*build_user_schema(), ORIGIN])
"""The users that PostgreSQL stores: the fields of `User`, and the message that wrote the row."""
ACCEPTED_SCHEMA = pa.schema([*STORED_SCHEMA, pa.field("unversioned", pa.bool_())])
"""Accepted records, in the columns of `ACCEPTED_FIELDS`."""


def format_csv(rows: pa.Table) -> bytes:
    """The rows in CSV as PostgreSQL's COPY reads it: every text is quoted, and null is an empty field."""
    text = io.BytesIO()
    pyarrow.csv.write_csv(rows, text, pyarrow.csv.WriteOptions(include_header=False))
    return text.getvalue()


def parse_csv(text: bytes, schema: pa.Schema, columns: Sequence[str] = ()) -> pa.Table:
    """The rows of such CSV, written by `format_csv` or by PostgreSQL; all columns, or only these.

    Raises:
        pyarrow.ArrowInvalid: the text does not have these columns.
    """
    if not text:
        return schema.empty_table()
    rows = pyarrow.csv.read_csv(
        pa.BufferReader(text),
        pyarrow.csv.ReadOptions(column_names=schema.names),
        pyarrow.csv.ParseOptions(newlines_in_values=True),
        pyarrow.csv.ConvertOptions(
            column_types=schema,
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
            true_values=["t", "true"],
            false_values=["f", "false"],
            include_columns=columns,
        ),
    )
    return rows if columns else rows.cast(schema)


def read_table(connection: PgConnection, query: str, parameters: Mapping[str, object], schema: pa.Schema) -> pa.Table:
    """The result of a query, in a transaction of its own."""
    text = io.BytesIO()
    with connection, connection.cursor() as cursor:
        cursor.copy_expert(f"COPY ({cursor.mogrify(query, parameters).decode()}) TO STDOUT (FORMAT csv)", text)
    return parse_csv(text.getvalue(), schema)
