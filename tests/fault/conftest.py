"""The servers of the integration tests, for the failpoints."""

from tests.integration.conftest import (
    cassandra_server,
    empty_cassandra,
    empty_kafka,
    empty_postgres,
    jars,
    java,
    kafka_server,
    keyspaces,
    own_stores,
    postgres,
    postgres_server,
    topic_name,
    warm_spark,
)

__all__ = [
    "cassandra_server",
    "empty_cassandra",
    "empty_kafka",
    "empty_postgres",
    "jars",
    "java",
    "kafka_server",
    "keyspaces",
    "own_stores",
    "postgres",
    "postgres_server",
    "topic_name",
    "warm_spark",
]
