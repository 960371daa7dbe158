"""The check when a store cannot be reached."""

from importlib import import_module

import psycopg2
import pytest
from cassandra import OperationTimedOut
from cassandra.cluster import NoHostAvailable
from confluent_kafka import KafkaError, KafkaException

from insights.errors import UserError
from insights.settings import KafkaSettings

module = import_module("insights.ledger.check")


@pytest.mark.parametrize(
    ("error", "store"),
    [
        (OperationTimedOut(), "Cassandra"),
        (NoHostAvailable("away", {}), "Cassandra"),
        (psycopg2.OperationalError("server closed the connection"), "PostgreSQL"),
        (KafkaException(KafkaError(KafkaError._TRANSPORT)), "Kafka at broker:9092"),
    ],
)
def test_a_store_that_fails_during_the_check_is_an_error_that_names_it(error: Exception, store: str) -> None:
    with (
        pytest.raises(UserError, match=f"^{store} cannot be read"),
        module._explain_errors(KafkaSettings(bootstrap_servers="broker:9092")),
    ):
        raise error
