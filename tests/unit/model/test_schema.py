"""The schema of every store follows the record, and the migrations create it."""

import json
import re
from pathlib import Path

import pytest

from insights.migrations import MIGRATIONS
from insights.migrations.migrate_cassandra import split_cql_statements
from insights.model import schema
from insights.model.user import DIMENSIONS, User, read_field_types

GOLDEN = Path(__file__).parent / "golden"
USER_FIELDS = list(read_field_types(User))


def get_column_names(ddl: str) -> list[str]:
    return [column.split()[0] for column in ddl.split(", ")]


def test_spark_sql_and_cql_have_the_fields_of_the_record_in_its_order():
    assert get_column_names(schema.build_spark_ddl()) == USER_FIELDS
    assert list(schema.build_sql_columns()) == USER_FIELDS
    derived = ("bucket", "id_bucket", "hour", "profile", "summary")
    assert [name for name in schema.build_cql_types() if name not in derived] == USER_FIELDS
    assert ["user_id", *schema.PACKED_COLUMNS["profile"]] == USER_FIELDS


def test_a_primary_key_has_the_columns_of_the_partition_and_the_order_in_it():
    assert schema.split_primary_key("user_profiles_by_id") == (("id_bucket",), ("user_id",))
    assert schema.split_primary_key("user_summaries_by_month") == (
        ("registered_month", "bucket"),
        ("registered_at", "user_id"),
    )


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("user.spark.ddl", schema.build_spark_ddl().replace(", ", ",\n") + "\n"),
        ("raw_user.spark.ddl", schema.build_raw_spark_ddl() + "\n"),
        ("user.sql", schema.build_sql_table()),
        (
            "users.cql",
            ";\n\n".join(
                [
                    *map(schema.build_cql_type, schema.CASSANDRA_TYPES),
                    *map(schema.build_cql_table, schema.CASSANDRA_TABLES),
                ]
            )
            + ";\n",
        ),
        ("raw_user.schema.json", json.dumps(schema.build_wire_json_schema(), indent=2) + "\n"),
    ],
)
def test_the_schema_equals_the_golden_file(name, text):
    assert text == (GOLDEN / name).read_text(encoding="utf-8")


def test_the_sql_migration_creates_the_table_of_the_schema():
    migration = (MIGRATIONS / "postgres" / "0002_analytics.sql").read_text(encoding="utf-8")
    assert schema.build_sql_table() in migration


@pytest.mark.parametrize("table", schema.CASSANDRA_TABLES)
def test_the_cql_migrations_create_the_table_of_the_schema(table):
    statement = find_cql_statement(f"CREATE TABLE {table} (")
    assert re.sub(r"\) WITH .*", ")", statement, flags=re.DOTALL) == schema.build_cql_table(table)


@pytest.mark.parametrize("name", schema.CASSANDRA_TYPES)
def test_the_cql_migrations_create_the_type_of_the_schema(name):
    assert find_cql_statement(f"CREATE TYPE {name} (") == schema.build_cql_type(name)


def find_cql_statement(beginning):
    files = sorted((MIGRATIONS / "cassandra").glob("*.cql"))
    statements = [text for path in files for text in split_cql_statements(path.read_text(encoding="utf-8"))]
    return next(text for text in (text.replace("IF NOT EXISTS ", "") for text in statements) if beginning in text)


def test_every_dimension_becomes_one_row_with_its_value():
    query = schema.build_dimension_values_sql("u")
    for value in (
        "('gender', u.gender::text)",
        "('registered_weekday', (extract(isodow FROM u.registered_at AT TIME ZONE 'UTC')::integer)::text)",
        "('country_city', json_build_array(u.country_code::text, u.city::text)::text)",
    ):
        assert query.count(value) == 1
    assert query.count("('") == len(DIMENSIONS)


def test_the_layout_is_the_last_migration_that_created_a_user_table():
    created = [
        int(file.name[:4])
        for file in (MIGRATIONS / "cassandra").glob("*.cql")
        if any(f"CREATE TABLE IF NOT EXISTS {table} " in file.read_text() for table in schema.CASSANDRA_TABLES)
    ]
    assert max(created) == schema.LAYOUT
