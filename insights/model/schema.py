"""The schema of the record in each store, derived from the dataclasses of `insights.model.user`."""

import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from insights.model.user import DIMENSIONS, RawUser, User, read_field_types

USER_FIELDS = tuple(read_field_types(User))
ACCEPTED_FIELDS = (*USER_FIELDS, "origin", "unversioned")
"""The columns of accepted records on their way to the sinks: those of `User`, the message as `topic/partition/offset`,
and whether it has no version of its own."""
CASSANDRA_TYPES: dict[str, tuple[str, ...]] = {
    "user_profile": tuple(name for name in USER_FIELDS if name != "user_id"),
    "user_summary": (
        "version",
        "full_name",
        "age_band",
        "generation",
        "email",
        "email_domain",
        "city",
        "state",
        "country_code",
        "country",
        "latitude",
        "longitude",
        "location_plausible",
        "tenure_days",
    ),
}
"""The fields of Cassandra's types, each of which is one cell of a row."""
PACKED_COLUMNS = {"profile": CASSANDRA_TYPES["user_profile"], "summary": CASSANDRA_TYPES["user_summary"]}
"""The columns of these types, with their fields."""

_SPARK = {UUID: "STRING", str: "STRING", int: "INT", float: "DOUBLE", bool: "BOOLEAN", datetime: "TIMESTAMP"}
_CQL = {UUID: "uuid", str: "text", int: "int", float: "double", bool: "boolean", datetime: "timestamp"}
_SQL = {UUID: "uuid", str: "text", int: "integer", float: "double precision", bool: "boolean", datetime: "timestamptz"}
_WIDE = {"version": ("BIGINT", "bigint", "bigint")}

CASSANDRA_TABLES: dict[str, tuple[str, tuple[str, ...]]] = {
    "user_profiles_by_id": ("id_bucket, user_id", ("id_bucket", "user_id", "profile")),
    "user_summaries_by_country": (
        "(country_code, bucket), registered_at, user_id",
        ("country_code", "bucket", "registered_at", "user_id", "gender", "age", "summary"),
    ),
    "user_summaries_by_month": (
        "(registered_month, bucket), registered_at, user_id",
        ("registered_month", "bucket", "registered_at", "user_id", "gender", "age", "summary"),
    ),
    "latest_arrivals": (
        "hour, event_time, user_id",
        (
            "hour",
            "event_time",
            "user_id",
            "version",
            "full_name",
            "gender",
            "age",
            "country_code",
            "country",
            "city",
            "email",
        ),
    ),
}
"""Cassandra's user tables: primary key and columns. `bucket` splits partitions and `id_bucket` joins users in one (see
`BUCKETS` and `ID_BUCKETS`). A column by which the server filters is not packed."""

LAYOUT = 3
"""The number of the last migration of Cassandra that created one of the user tables."""

BUCKETS = 16
"""Partitions per country or month, by the first hexadecimal digit of `user_id`. With 10 million users of 21 countries,
a partition has 30,000 rows."""

ID_BUCKETS = 1024
"""Partitions of `user_profiles_by_id`, by the first ten bits of `user_id`: Cassandra applies about twenty users of a
full micro-batch as one mutation. With 10 million users, a partition has 10,000 rows and 5 MB."""

ARRIVALS_KEPT = timedelta(days=7)
"""The time to live of the rows of `latest_arrivals`."""
MAX_ARRIVALS = 200
"""Users of one batch that are written to `latest_arrivals`: the newest."""

_DERIVED_CQL = {
    "bucket": "int",
    "hour": "text",
    "id_bucket": "int",
    "profile": "frozen<user_profile>",
    "summary": "frozen<user_summary>",
}

DERIVED_FROM = {"registered_weekday": "registered_at"}
DERIVED_SQL = {"registered_weekday": "extract(isodow FROM {} AT TIME ZONE 'UTC')::integer"}
"""Fields that are counted but not stored, each computed from the field in `DERIVED_FROM`. `registered_weekday` is the
ISO day of the week, 1 for Monday."""


def find_id_bucket(user_id: UUID) -> int:
    """The partition of a user in `user_profiles_by_id`, below `ID_BUCKETS`."""
    return user_id.int * ID_BUCKETS >> 128


def split_primary_key(table: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the columns of the partition key of one of `CASSANDRA_TABLES`, and its clustering columns."""
    first, *clustering = re.findall(r"\([^)]*\)|\w+", CASSANDRA_TABLES[table][0])
    return tuple(re.findall(r"\w+", first)), tuple(clustering)


def build_spark_ddl() -> str:
    """Return the schema of `User` as Spark DDL."""
    return ", ".join(
        f"{name} {_WIDE[name][0] if name in _WIDE else _SPARK[kind]}{'' if optional else ' NOT NULL'}"
        for name, (kind, optional) in read_field_types(User).items()
    )


def build_raw_spark_ddl() -> str:
    """Return the schema of `RawUser` as the DDL that `from_json` takes: nested structs of strings."""
    return ", ".join(f"{name} {_build_raw_type(child)}" for name, child in _build_raw_tree().items())


def build_sql_columns() -> dict[str, str]:
    """Return the PostgreSQL column definitions of `analytics.users`, by name."""
    return {
        name: (_WIDE[name][2] if name in _WIDE else _SQL[kind]) + ("" if optional else " NOT NULL")
        for name, (kind, optional) in read_field_types(User).items()
    }


def build_sql_table(name: str = "analytics.users") -> str:
    """Return the `CREATE TABLE` statement of the table of users in PostgreSQL."""
    columns = ",\n".join(f"    {column} {definition}" for column, definition in build_sql_columns().items())
    return f"CREATE TABLE {name} (\n{columns},\n    PRIMARY KEY (user_id)\n);\n"


def build_cql_types() -> dict[str, str]:
    """Return the CQL type of each column that a user table may have."""
    types = {
        name: _WIDE[name][1] if name in _WIDE else _CQL[kind] for name, (kind, _) in read_field_types(User).items()
    }
    return types | _DERIVED_CQL


def build_cql_type(name: str) -> str:
    """Return the `CREATE TYPE` statement of one of `CASSANDRA_TYPES`."""
    types = build_cql_types()
    fields = ",\n".join(f"    {field} {types[field]}" for field in CASSANDRA_TYPES[name])
    return f"CREATE TYPE {name} (\n{fields}\n)"


def build_cql_table(table: str) -> str:
    """Return the `CREATE TABLE` statement of one of `CASSANDRA_TABLES`, without options."""
    key, names = CASSANDRA_TABLES[table]
    types = build_cql_types()
    columns = ",\n".join(f"    {name} {types[name]}" for name in names)
    return f"CREATE TABLE {table} (\n{columns},\n    PRIMARY KEY ({key})\n)"


def build_wire_json_schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of the value on the raw topic. Fields that are not read may have any value."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "RawUser",
        **_build_json_object(_build_raw_tree()),
    }


def list_dimension_fields() -> tuple[str, ...]:
    """Return the fields of `User` that the dimensions are derived from, each once."""
    return tuple(dict.fromkeys(DERIVED_FROM.get(field, field) for names in DIMENSIONS.values() for field in names))


def build_dimension_values_sql(source: str, columns: str = "") -> str:
    """Return a query that yields one (dimension, value) row for each row of `source` and each dimension.

    `columns` are further columns, each followed by a comma.
    """
    values = ", ".join(f"('{name}', {_build_dimension_value(source, names)})" for name, names in DIMENSIONS.items())
    dimensions = f"LATERAL (VALUES {values}) AS d(dimension, value)"
    return f"SELECT {columns}d.dimension, d.value FROM {source} CROSS JOIN {dimensions}"


def build_user_counts_sql(source: str) -> str:
    """A query that counts the rows of `source` by dimension and value: columns dimension, value and count."""
    return (
        f"SELECT dimension, value, count(*) AS count FROM ({build_dimension_values_sql(source)}) AS dimension_values"
        " WHERE value IS NOT NULL GROUP BY dimension, value"
    )


def _build_dimension_value(source: str, names: Sequence[str]) -> str:
    texts = [
        f"({DERIVED_SQL[name].format(f'{source}.{DERIVED_FROM[name]}')})::text"
        if name in DERIVED_SQL
        else f"{source}.{name}::text"
        for name in names
    ]
    return texts[0] if len(texts) == 1 else f"json_build_array({', '.join(texts)})::text"


def _build_raw_tree() -> dict[str, Any]:
    """Return the fields of `RawUser` as nested mappings with None as leaves."""
    tree: dict[str, Any] = {}
    for path in read_field_types(RawUser):
        node = tree
        *parents, leaf = path.split("__")
        for parent in parents:
            node = node.setdefault(parent, {})
        node[leaf] = None
    return tree


def _build_raw_type(child: dict[str, Any] | None) -> str:
    if child is None:
        return "STRING"
    return "STRUCT<" + ", ".join(f"{name}: {_build_raw_type(grandchild)}" for name, grandchild in child.items()) + ">"


def _build_json_object(tree: dict[str, Any]) -> dict[str, Any]:
    properties = {name: {} if child is None else _build_json_object(child) for name, child in tree.items()}
    return {"type": ["object", "null"], "properties": properties}
