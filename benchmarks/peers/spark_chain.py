"""The chain behind Kafka as Spark 3.5 and the Cassandra connector do it, in a process that runs on request.

A streaming query per contender reads the raw topic in micro-batches, parses and derives the fields with built-in
functions, and writes every batch to four tables of a keyspace of its own and, by JDBC, to a table of PostgreSQL. It
runs in the environment of the peers, without this project's packages.
"""

import sys
from functools import partial
from multiprocessing.connection import Connection
from typing import Any

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

MASTER = "local[2]"
KEYS = {
    "bucket": "cast(conv(substr(user_id, 1, 1), 16, 10) AS int)",
    "id_bucket": "cast(conv(substr(user_id, 1, 3), 16, 10) / 4 AS int)",
    "hour": "date_format(event_time, \"yyyy-MM-dd'T'HH\")",
    "written_at": "version",
}
"""Columns of the Cassandra tables. `written_at` is the time of writing: the connector removes it from the row."""
RAW = [
    "lower(trim(r.login.uuid)) AS user_id",
    "cast(cast(h['version'] AS string) AS bigint) AS version",
    "cast(h['event_id'] AS string) AS event_id",
    "timestamp_millis(cast(cast(h['event_time'] AS string) AS bigint)) AS event_time",
    "cast(h['batch_id'] AS string) AS batch_id",
    "lower(trim(r.gender)) AS gender",
    "trim(r.name.title) AS title",
    "trim(r.name.first) AS first_name",
    "trim(r.name.last) AS last_name",
    "concat_ws(' ', trim(r.name.first), trim(r.name.last)) AS full_name",
    "r.login.username AS username",
    "lower(trim(r.email)) AS email",
    "regexp_replace(r.phone, '[^0-9+]', '') AS phone",
    "length(r.phone) > 5 AS phone_valid",
    "regexp_replace(r.cell, '[^0-9+]', '') AS cell",
    "length(r.cell) > 5 AS cell_valid",
    "concat_ws(' ', get_json_object(r.location.street, '$.number'), get_json_object(r.location.street, '$.name'))"
    " AS street",
    "r.location.city AS city",
    "r.location.state AS state",
    "r.location.postcode AS postcode",
    "upper(trim(r.nat)) AS country_code",
    "cast(r.location.coordinates.latitude AS double) AS latitude",
    "cast(r.location.coordinates.longitude AS double) AS longitude",
    "r.location.timezone.description AS timezone",
    "r.location.timezone.offset AS timezone_offset",
    "to_timestamp(get_json_object(r.dob, '$.date')) AS born_at",
    "to_timestamp(get_json_object(r.registered, '$.date')) AS registered_at",
    "r.picture.large AS picture_url",
]
DERIVED = {
    "email_domain": "substring_index(email, '@', -1)",
    "address": "concat_ws(', ', street, concat_ws(' ', postcode, city), state, country)",
    "distance_km": "12742 * asin(sqrt(pow(sin(radians(latitude - centre_latitude) / 2), 2) + cos(radians(latitude)) *"
    " cos(radians(centre_latitude)) * pow(sin(radians(longitude - centre_longitude) / 2), 2)))",
    "utc_offset_minutes": "cast(substring_index(timezone_offset, ':', 1) AS int) * 60",
    "age": "cast(floor(months_between(to_date(event_time), to_date(born_at)) / 12) AS int)",
    "registered_year": "year(registered_at)",
    "registered_month": "date_format(registered_at, 'yyyy-MM')",
    "tenure_days": "datediff(event_time, registered_at)",
}
FROM_DERIVED = {
    "location_plausible": "distance_km <= reach_km",
    "age_band": "CASE WHEN age < 18 THEN '0-17' WHEN age < 25 THEN '18-24' WHEN age < 35 THEN '25-34' WHEN age < 45"
    " THEN '35-44' WHEN age < 55 THEN '45-54' WHEN age < 65 THEN '55-64' WHEN age < 75 THEN '65-74' ELSE '75+' END",
    "generation": "CASE WHEN year(born_at) < 1946 THEN 'Silent' WHEN year(born_at) < 1965 THEN 'Boomers'"
    " WHEN year(born_at) < 1981 THEN 'Gen X' WHEN year(born_at) < 1997 THEN 'Millennials' ELSE 'Gen Z' END",
}


def main() -> None:
    """Serve requests. The argument is the file descriptor of the connection, on which the settings come first."""
    connection = Connection(int(sys.argv[1]))
    settings = connection.recv()
    spark = SparkSession.builder.master(MASTER).config(map=settings["conf"]).getOrCreate()
    spark.sparkContext.setLogLevel("ERROR")
    countries = F.broadcast(spark.createDataFrame(settings["countries"]).cache())
    connection.send(None)
    while name := connection.recv():
        contender = settings["contenders"][name]
        source = spark.readStream.format("kafka").options(**settings["source"]).load()
        users = derive(source, countries, settings["schema"], settings["fields"])
        write = partial(write_batch, tables=settings["tables"], packed=settings["packed"], contender=contender)
        writer = users.writeStream.foreachBatch(write).option("checkpointLocation", contender["checkpoint"])
        writer.trigger(availableNow=True).start().awaitTermination()
        connection.send(None)
    spark.stop()


def derive(messages: DataFrame, countries: DataFrame, schema: str, fields: list[str]) -> DataFrame:
    """The fields of a user from the messages."""
    parsed = messages.select(
        F.from_json(F.col("value").cast("string"), schema).alias("r"),
        F.expr("map_from_entries(transform(headers, x -> struct(x.key, x.value))) AS h"),
    )
    users = parsed.selectExpr(*RAW).join(countries, "country_code")
    for columns in (DERIVED, FROM_DERIVED):
        users = users.withColumns({name: F.expr(text) for name, text in columns.items()})
    return users.where("user_id RLIKE '^[0-9a-f-]{36}$' AND email LIKE '%@%'").select(*fields)


def write_batch(
    users: DataFrame, _: int, tables: dict[str, list[str]], packed: dict[str, list[str]], contender: dict[str, Any]
) -> None:
    """Write a micro-batch to every table. A packed column is a struct of its fields."""
    fields = users.columns
    users = users.withColumns({name: F.expr(text) for name, text in KEYS.items()}).persist()
    structs = {column: F.struct(*names) for column, names in packed.items()}
    try:
        users.select(*fields).write.format("jdbc").mode("append").options(**contender["jdbc"]).save()
        for table, columns in tables.items():
            rows = users.orderBy(F.desc("event_time")).limit(200) if table == "latest_arrivals" else users
            written = rows.withColumns(structs).select(*columns, "written_at").write
            writer = written.format("org.apache.spark.sql.cassandra").mode("append")
            writer.options(table=table, writetime="written_at", **contender["cassandra"]).save()
    finally:
        users.unpersist()


if __name__ == "__main__":
    main()
