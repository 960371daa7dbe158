"""What the ledger makes of a store that goes away."""

from importlib import import_module

import psycopg2
import pytest
from cassandra import OperationTimedOut
from cassandra.cluster import NoHostAvailable

from insights.errors import UserError

module = import_module("insights.ledger.check")


@pytest.mark.parametrize(
    ("error", "store"),
    [
        (OperationTimedOut(), "Cassandra"),
        (NoHostAvailable("away", {}), "Cassandra"),
        (psycopg2.OperationalError("server closed the connection"), "PostgreSQL"),
    ],
)
def test_a_store_that_goes_away_meanwhile_is_one_sentence(error: Exception, store: str) -> None:
    with pytest.raises(UserError, match=f"^{store} cannot be counted"), module._readable():
        raise error
