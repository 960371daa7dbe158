"""The schema of every store follows the record, and the migrations create it."""

import json
import re
from pathlib import Path

import pytest

from insights.migrations import MIGRATIONS
from insights.model import schema
from insights.model.user import DIMENSIONS, User, read_field_types

GOLDEN = Path(__file__).parent / "golden"
USER_FIELDS = list(read_field_types(User))


def get_column_names(ddl: str) -> list[str]:
    return [column.split()[0] for column in ddl.split(", ")]


def test_spark_sql_and_cql_have_the_fields_of_the_record_in_its_order():
    assert get_column_names(schema.build_spark_ddl()) == USER_FIELDS
    assert list(schema.build_sql_columns()) == USER_FIELDS
    assert [name for name in schema.build_cql_types() if name not in ("bucket", "hour")] == USER_FIELDS
    assert list(schema.CASSANDRA_TABLES["users_by_id"][1]) == USER_FIELDS


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("user.spark.ddl", schema.build_spark_ddl().replace(", ", ",\n") + "\n"),
        ("raw_user.spark.ddl", schema.build_raw_spark_ddl() + "\n"),
        ("user.sql", schema.build_sql_table()),
        ("users.cql", ";\n\n".join(schema.build_cql_table(table) for table in schema.CASSANDRA_TABLES) + ";\n"),
        ("raw_user.schema.json", json.dumps(schema.build_wire_json_schema(), indent=2) + "\n"),
    ],
)
def test_the_schema_equals_the_golden_file(name, text):
    assert text == (GOLDEN / name).read_text(encoding="utf-8")


def test_the_sql_migration_creates_the_table_of_the_schema():
    migration = (MIGRATIONS / "postgres" / "0002_analytics.sql").read_text(encoding="utf-8")
    assert schema.build_sql_table() in migration


@pytest.mark.parametrize("table", schema.CASSANDRA_TABLES)
def test_the_cql_migration_creates_the_table_of_the_schema(table):
    migration = (MIGRATIONS / "cassandra" / "0001_users.cql").read_text(encoding="utf-8")
    statements = migration.replace("IF NOT EXISTS ", "").split(";")
    statement = next(text.strip() for text in statements if f"CREATE TABLE {table} (" in text)
    assert re.sub(r"\) WITH .*", ")", statement, flags=re.DOTALL) == schema.build_cql_table(table)


def test_every_dimension_becomes_one_row_with_its_value():
    query = schema.build_dimension_values_sql("u")
    for value in (
        "('gender', u.gender::text)",
        "('registered_weekday', (extract(isodow FROM u.registered_at AT TIME ZONE 'UTC')::integer)::text)",
        "('country_city', json_build_array(u.country_code::text, u.city::text)::text)",
    ):
        assert query.count(value) == 1
    assert query.count("('") == len(DIMENSIONS)
