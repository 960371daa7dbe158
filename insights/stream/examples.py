"""Messages of a made-up user, with which the stream warms up: their values are in the usual form and break no rule."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from uuid import UUID

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from insights.model.message import RawMessage

_RECORD = {
    "gender": "female",
    "name": {"title": "Ms", "first": "Zoë", "last": "Example"},
    "location": {
        "street": {"number": 7, "name": "Station Road"},
        "city": "Sydney",
        "state": "New South Wales",
        "country": "Australia",
        "postcode": 2000,
        "coordinates": {"latitude": "-33.8688", "longitude": "151.2093"},
        "timezone": {"offset": "+10:00", "description": "Eastern Australia, Guam, Vladivostok"},
    },
    "email": "zoe.example@example.com",
    "login": {"uuid": str(UUID(int=0)), "username": "example7"},
    "dob": {"date": "1990-02-28T12:34:56.789Z", "age": 36},
    "registered": {"date": "2020-02-29T01:02:03.004Z", "age": 6},
    "phone": "02-9374-4000",
    "cell": "0412-345-678",
    "id": {"name": "TFN"},
    "picture": {
        "large": "https://example.com/large/7.jpg",
        "medium": "https://example.com/medium/7.jpg",
        "thumbnail": "https://example.com/thumbnail/7.jpg",
    },
    "nat": "AU",
}
_MESSAGE = RawMessage(
    "1",
    UUID(int=0),
    json.dumps(_RECORD, ensure_ascii=False, separators=(",", ":")).encode(),
    "example/1?results=1",
    1,
    datetime(2026, 1, 1, tzinfo=UTC),
)


def make_examples(template: DataFrame, count: int) -> DataFrame:
    """So many messages of one user, in the columns of `template`, which are those of the Kafka source."""
    spark = template.sparkSession
    rows = spark.range(0, count, 1, spark.sparkContext.defaultParallelism)
    values = _list_values(F.col("id"))
    return rows.select(*(values[field.name].cast(field.dataType).alias(field.name) for field in template.schema.fields))


def _list_values(number: Column) -> Mapping[str, Column]:
    headers = [F.struct(F.lit(name).alias("key"), F.lit(value).alias("value")) for name, value in _MESSAGE.headers()]
    return {
        "key": F.lit(str(_MESSAGE.key)),
        "value": F.lit(_MESSAGE.value),
        "topic": F.lit("examples"),
        "partition": F.lit(0),
        "offset": number,
        "timestamp": F.lit(_MESSAGE.event_time),
        "timestampType": F.lit(0),
        "headers": F.array(*headers),
    }
