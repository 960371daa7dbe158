"""The record as each store sees it, derived from `insights.record` and never written twice."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from insights.model.user import DIMENSIONS, RawUser, User, read_field_types

USER_FIELDS = tuple(read_field_types(User))

_SPARK = {UUID: "STRING", str: "STRING", int: "INT", float: "DOUBLE", bool: "BOOLEAN", datetime: "TIMESTAMP"}
_CQL = {UUID: "uuid", str: "text", int: "int", float: "double", bool: "boolean", datetime: "timestamp"}
_SQL = {UUID: "uuid", str: "text", int: "integer", float: "double precision", bool: "boolean", datetime: "timestamptz"}
_WIDE = {"version": ("BIGINT", "bigint", "bigint")}

CASSANDRA_TABLES: dict[str, tuple[str, tuple[str, ...]]] = {
    "users_by_id": ("user_id", USER_FIELDS),
    "users_by_country": (
        "(country_code, bucket), registered_at, user_id",
        (
            "country_code",
            "bucket",
            "registered_at",
            "user_id",
            "version",
            "full_name",
            "gender",
            "age",
            "age_band",
            "generation",
            "email",
            "email_domain",
            "city",
            "state",
            "latitude",
            "longitude",
            "location_plausible",
        ),
    ),
    "users_by_registration_month": (
        "(registered_month, bucket), registered_at, user_id",
        (
            "registered_month",
            "bucket",
            "registered_at",
            "user_id",
            "version",
            "full_name",
            "gender",
            "age",
            "country_code",
            "country",
            "email_domain",
            "tenure_days",
        ),
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
"""Cassandra's user tables: primary key and columns. `bucket` spreads a partition: see `BUCKETS`."""

BUCKETS = 16
"""Partitions per country or month, by the first hexadecimal digit of `user_id`: 10 million users of 21 countries make
30,000 rows a partition."""

_DERIVED_CQL = {"bucket": "int", "hour": "text"}

DERIVED_FROM = {"registered_weekday": "registered_at"}
DERIVED_SQL = {"registered_weekday": "extract(isodow FROM {} AT TIME ZONE 'UTC')::integer"}
"""Counted but not kept, each of the field that it is `DERIVED_FROM`: the ISO day of the week, 1 is Monday."""


def build_spark_ddl() -> str:
    """The served record as a Spark DDL schema string."""
    return ", ".join(
        f"{name} {_WIDE[name][0] if name in _WIDE else _SPARK[kind]}{'' if optional else ' NOT NULL'}"
        for name, (kind, optional) in read_field_types(User).items()
    )


def build_raw_spark_ddl() -> str:
    """The raw record as the DDL that `from_json` takes: nested structs of text."""
    return ", ".join(f"{name} {_raw_type(child)}" for name, child in _raw_tree().items())


def build_sql_columns() -> dict[str, str]:
    """PostgreSQL column definitions of `analytics.users`, by name."""
    return {
        name: (_WIDE[name][2] if name in _WIDE else _SQL[kind]) + ("" if optional else " NOT NULL")
        for name, (kind, optional) in read_field_types(User).items()
    }


def build_sql_table(name: str = "analytics.users") -> str:
    """The `CREATE TABLE` of the relational view of users."""
    columns = ",\n".join(f"    {column} {definition}" for column, definition in build_sql_columns().items())
    return f"CREATE TABLE {name} (\n{columns},\n    PRIMARY KEY (user_id)\n);\n"


def build_cql_types() -> dict[str, str]:
    """CQL type of each column that a user table may have."""
    types = {
        name: _WIDE[name][1] if name in _WIDE else _CQL[kind] for name, (kind, _) in read_field_types(User).items()
    }
    return types | _DERIVED_CQL


def build_cql_table(table: str) -> str:
    """The `CREATE TABLE` of one of `CASSANDRA_TABLES`, without options."""
    key, names = CASSANDRA_TABLES[table]
    types = build_cql_types()
    columns = ",\n".join(f"    {name} {types[name]}" for name in names)
    return f"CREATE TABLE {table} (\n{columns},\n    PRIMARY KEY ({key})\n)"


def build_wire_json_schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of the value on the raw topic: the fields that are read, anything else allowed."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "RawUser",
        **_json_object(_raw_tree()),
    }


def list_dimension_fields() -> tuple[str, ...]:
    """The fields of `User` that the dimensions are made of, each once."""
    return tuple(dict.fromkeys(DERIVED_FROM.get(field, field) for names in DIMENSIONS.values() for field in names))


def build_dimension_values_sql(source: str) -> str:
    """A query that turns each row of `source` into one (dimension, value) row per dimension."""
    values = ", ".join(f"('{name}', {_dimension_value(source, names)})" for name, names in DIMENSIONS.items())
    return f"SELECT d.dimension, d.value FROM {source} CROSS JOIN LATERAL (VALUES {values}) AS d(dimension, value)"


def _dimension_value(source: str, names: Sequence[str]) -> str:
    texts = [
        f"({DERIVED_SQL[name].format(f'{source}.{DERIVED_FROM[name]}')})::text"
        if name in DERIVED_SQL
        else f"{source}.{name}::text"
        for name in names
    ]
    return texts[0] if len(texts) == 1 else f"json_build_array({', '.join(texts)})::text"


def _raw_tree() -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for path in read_field_types(RawUser):
        node = tree
        *parents, leaf = path.split("__")
        for parent in parents:
            node = node.setdefault(parent, {})
        node[leaf] = None
    return tree


def _raw_type(child: dict[str, Any] | None) -> str:
    if child is None:
        return "STRING"
    return "STRUCT<" + ", ".join(f"{name}: {_raw_type(grandchild)}" for name, grandchild in child.items()) + ">"


def _json_object(tree: dict[str, Any]) -> dict[str, Any]:
    properties = {name: {} if child is None else _json_object(child) for name, child in tree.items()}
    return {"type": ["object", "null"], "properties": properties}
