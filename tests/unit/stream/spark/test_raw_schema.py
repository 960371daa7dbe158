"""The schema that Spark parses has the fields of the raw record."""

from insights.model import schema
from insights.model.user import RawUser, read_field_types


def test_the_wire_schema_and_the_parsers_have_the_raw_records_fields_in_its_order(spark):
    def leaves(node, path=()):
        for name, child in node["properties"].items():
            yield from leaves(child, (*path, name)) if "properties" in child else ["__".join((*path, name))]

    assert list(leaves(schema.build_wire_json_schema())) == list(read_field_types(RawUser))

    def columns(struct, path=()):
        for field in struct.fields:
            inner = getattr(field.dataType, "fields", None)
            yield from columns(field.dataType, (*path, field.name)) if inner else ["__".join((*path, field.name))]

    parsed = spark.createDataFrame([], schema.build_raw_spark_ddl()).schema
    assert list(columns(parsed)) == list(read_field_types(RawUser))
